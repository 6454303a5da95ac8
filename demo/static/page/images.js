// Converts images exactly as mobilenetv3_cifar.preprocessing does, bit for bit.

export const SIZE = 32; // pixels per side of the network's input
const PHOTOGRAPH_SIDE = 128; // an image counts as a photograph if both sides have at least this many pixels
const SQUARES = [100, 80, 60]; // sides of a photograph's centred squares, in percent of its shorter side
const PRECISION = 22; // as in Pillow, weights are integers: a weight of 1 is stored as 2 ** PRECISION

// Return the parts of an ImageData that are classified, each as RGB bytes (SIZE, SIZE, 3): the whole
// image and, if it is a photograph, its centred squares.
export function views(image) {
  const shorter = Math.min(image.width, image.height);
  const sides = SQUARES.map((percent) => Math.floor((shorter * percent) / 100));
  const squares = sides.filter((side) => side !== image.width || side !== image.height);
  const crops = shorter < PHOTOGRAPH_SIDE ? [] : squares.map((side) => centredSquare(image, side));
  return [image, ...crops].map(reduce);
}

function centredSquare({ data, width, height }, side) {
  const square = new Uint8ClampedArray(4 * side * side);
  const [left, top] = [(width - side) >> 1, (height - side) >> 1];
  for (let y = 0; y < side; y++) {
    const first = 4 * ((top + y) * width + left);
    square.set(data.subarray(first, first + 4 * side), 4 * side * y);
  }
  return { data: square, width: side, height: side };
}

// Resize an ImageData to RGB bytes (SIZE, SIZE, 3) with Pillow's antialiasing bilinear filter.
export function reduce({ data, width, height }) {
  const rows = squeeze(data, 4, width, height);
  return new Uint8Array(squeeze(rows, 3, height, SIZE).buffer);
}

// Resize each line of `length` pixels to SIZE pixels, and transpose the result. A second call then
// resizes the other axis.
function squeeze(pixels, channels, length, lines) {
  const out = new Uint8ClampedArray(3 * SIZE * lines);
  weights(length).forEach(({ first, values }, x) => {
    for (let y = 0; y < lines; y++) {
      let [red, green, blue] = [1 << (PRECISION - 1), 1 << (PRECISION - 1), 1 << (PRECISION - 1)];
      let at = channels * (y * length + first);
      for (const weight of values) {
        red += weight * pixels[at];
        green += weight * pixels[at + 1];
        blue += weight * pixels[at + 2];
        at += channels;
      }
      out.set([red >> PRECISION, green >> PRECISION, blue >> PRECISION], 3 * (x * lines + y));
    }
  });
  return out;
}

// For each output pixel, return the index of its first input pixel and the weights of its input pixels.
function weights(length) {
  const scale = length / SIZE;
  const support = Math.max(scale, 1);
  return Array.from({ length: SIZE }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(length, Math.trunc(centre + support + 0.5));
    const distances = Array.from({ length: end - first }, (_, i) => (first + i - centre + 0.5) / support);
    const values = distances.map((distance) => Math.max(0, 1 - Math.abs(distance)));
    const sum = values.reduce((total, value) => total + value, 0);
    return { first, values: values.map((value) => Math.round((value / sum) * 2 ** PRECISION)) };
  });
}
