// Crops and reduction of images: the same pixels as mobilenetv3_cifar.preprocessing, to the bit.

export const NATIVE_SIZE = 32;
const PRECISION = 22; // bits: Pillow resizes with whole-number weights

// The boxes [left, top, right, bottom] whose outputs are averaged: one for an image of 32x32.
export function crops(width, height, middle) {
  const whole = [0, 0, width, height];
  if (Math.max(width, height) <= NATIVE_SIZE) return [whole];
  const side = Math.min(width, height);
  const part = [width, height].map((length) => Math.max(1, roundHalfToEven(middle * length)));
  return [whole, centred(width, height, side, side), centred(width, height, ...part)];
}

function centred(width, height, w, h) {
  const [left, top] = [Math.floor((width - w) / 2), Math.floor((height - h) / 2)];
  return [left, top, left + w, top + h];
}

function roundHalfToEven(x) {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 ? floor + 1 : floor;
}

// A box of an ImageData -> RGB bytes of 32x32 pixels, as Pillow's antialiasing bilinear filter.
export function reduce({ data, width }, [left, top, right, bottom]) {
  const [w, h, size] = [right - left, bottom - top, NATIVE_SIZE];
  const wide = weights(w, size);
  const rows = new Uint8ClampedArray(h * size * 3);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < size; x++) {
      const { first, values } = wide[x];
      let [red, green, blue] = [1 << (PRECISION - 1), 1 << (PRECISION - 1), 1 << (PRECISION - 1)];
      let at = 4 * ((top + y) * width + left + first);
      for (const weight of values) {
        red += weight * data[at];
        green += weight * data[at + 1];
        blue += weight * data[at + 2];
        at += 4;
      }
      const to = 3 * (y * size + x);
      rows[to] = red >> PRECISION;
      rows[to + 1] = green >> PRECISION;
      rows[to + 2] = blue >> PRECISION;
    }
  }
  const high = weights(h, size);
  const out = new Uint8ClampedArray(size * size * 3);
  for (let y = 0; y < size; y++) {
    const { first, values } = high[y];
    for (let i = 0; i < size * 3; i++) {
      let sum = 1 << (PRECISION - 1);
      for (let k = 0; k < values.length; k++) sum += values[k] * rows[(first + k) * size * 3 + i];
      out[y * size * 3 + i] = sum >> PRECISION;
    }
  }
  return out;
}

// Of each output pixel: the first input pixel it depends on, and the weights from there on.
function weights(length, size) {
  const scale = length / size;
  const support = Math.max(scale, 1);
  return Array.from({ length: size }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(length, Math.trunc(centre + support + 0.5));
    const values = [];
    for (let i = first; i < end; i++) {
      values.push(Math.max(0, 1 - Math.abs((i - centre + 0.5) / support)));
    }
    const sum = values.reduce((total, value) => total + value, 0);
    return { first, values: values.map((value) => Math.round((value / sum) * 2 ** PRECISION)) };
  });
}
