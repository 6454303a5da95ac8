// Crops and reduction of images: the same pixels as mobilenetv3_cifar.preprocessing, to the bit.

export const SIZE = 32; // pixels a side of what the network takes
const PRECISION = 22; // bits: Pillow resizes with whole-number weights

// The boxes { left, top, width, height } whose outputs are averaged, each with its weight.
export function crops(width, height, middle) {
  if (Math.max(width, height) <= SIZE) return [{ ...centred(width, height, width, height), weight: 1 }];
  const side = Math.min(width, height);
  const part = [width, height].map((length) => Math.max(1, roundHalfToEven(middle * length)));
  const sizes = [[width, height], [side, side], part];
  const boxes = sizes.map((size) => ({ ...centred(width, height, ...size), weight: 1 / 3 }));
  if (width !== height) return boxes;
  return [{ ...boxes[0], weight: 2 / 3 }, boxes[2]]; // of a square, the first two are the same
}

function centred(width, height, w, h) {
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

function roundHalfToEven(x) {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
}

// A box of an ImageData -> RGB bytes of SIZE x SIZE pixels, as Pillow's antialiasing bilinear filter.
export function reduce({ data, width }, box) {
  const start = 4 * (box.top * width + box.left);
  const rows = squeeze(data.subarray(start), 4, width, box.width, box.height);
  return squeeze(rows, 3, box.height, box.height, SIZE);
}

// Each line of `length` pixels -> a column of SIZE: two calls give an image the right way round.
function squeeze(pixels, channels, stride, length, lines) {
  const out = new Uint8ClampedArray(3 * SIZE * lines);
  weights(length).forEach(({ first, values }, x) => {
    for (let y = 0; y < lines; y++) {
      let [red, green, blue] = [1 << (PRECISION - 1), 1 << (PRECISION - 1), 1 << (PRECISION - 1)];
      let at = channels * (y * stride + first);
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

// Of each output pixel: the first input pixel it depends on, and the weights from there on.
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
