// The network: an image -> probabilities, "probably none" score and activation map.
// Averages over crops follow mobilenetv3_cifar.classifier and .explanation.

import * as ort from "./ort.wasm.bundle.min.mjs";
import { SIZE, crops, reduce } from "./images.js";

export const MAP_SIZE = 64; // pixels a side of the drawn map; the page enlarges it smoothly

export class Network {
  static async load() {
    ort.env.wasm.numThreads = 1; // more need headers that static hosts do not send
    const network = new Network();
    [network.facts, network.session] = await Promise.all([
      fetch("network.json").then((response) => response.json()),
      ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] }),
    ]);
    return network;
  }

  // target: the index of the class that the map is for; -1 for the predicted class.
  async answer(image, target = -1) {
    const boxes = crops(image.width, image.height, this.facts.crops.middle);
    const pixels = boxes.map((box) => reduce(image, box));
    let outputs = await this.run(pixels, target);
    const logits = mean(outputs.logits, boxes);
    const index = target < 0 ? argmax(logits) : target;
    if (target < 0 && boxes.length > 1) outputs = await this.run(pixels, index);
    const probabilities = softmax(logits.map((value) => value / this.facts.temperature));
    const score = this.score(logits, probabilities);
    const threshold = this.facts.ood_threshold;
    const probablyNone = threshold !== null && score < threshold;
    return { index, probabilities, probablyNone, map: drawMap(cams(outputs), boxes, image) };
  }

  run(pixels, target) {
    const images = new Uint8Array(pixels.flatMap((part) => [...part]));
    const targets = new Int32Array(pixels.length).fill(target);
    return this.session.run({
      images: new ort.Tensor("uint8", images, [pixels.length, SIZE, SIZE, 3]),
      target: new ort.Tensor("int32", targets, [pixels.length]),
    });
  }

  score(logits, probabilities) {
    if (this.facts.ood_score === "confidence") return Math.max(...probabilities);
    const top = Math.max(...logits);
    return top + Math.log(sum(logits.map((value) => Math.exp(value - top))));
  }
}

// Grad-CAM of each crop: { values, height, width }, at least 0.
function cams({ feature_map: { data, dims }, gradient }) {
  const [n, channels, height, width] = dims;
  const places = height * width;
  return Array.from({ length: n }, (_, image) => {
    const values = new Float32Array(places);
    for (let k = 0; k < channels; k++) {
      const start = image * channels + k;
      for (let i = 0; i < places; i++) values[i] += gradient.data[start] * data[start * places + i];
    }
    return { values: values.map((value) => Math.max(0, value / places)), height, width };
  });
}

// The mean of the crops' maps, each laid over its box, from 0 to 1: MAP_SIZE x MAP_SIZE values.
function drawMap(maps, boxes, { width, height }) {
  const out = new Float32Array(MAP_SIZE * MAP_SIZE).map((_, place) => {
    const x = (((place % MAP_SIZE) + 0.5) / MAP_SIZE) * width;
    const y = ((Math.floor(place / MAP_SIZE) + 0.5) / MAP_SIZE) * height;
    return sum(
      boxes.map((box, n) => {
        const [u, v] = [(x - box.left) / box.width, (y - box.top) / box.height];
        return u < 0 || u > 1 || v < 0 || v > 1 ? 0 : box.weight * bilinear(maps[n], u, v);
      }),
    );
  });
  const peak = out.reduce((a, b) => Math.max(a, b), 0);
  return peak > 0 ? out.map((value) => value / peak) : out;
}

// The value at u, v in [0, 1] across the map.
function bilinear({ values, height, width }, u, v) {
  const x = Math.min(Math.max(u * width - 0.5, 0), width - 1);
  const y = Math.min(Math.max(v * height - 0.5, 0), height - 1);
  const [x0, y0] = [Math.floor(x), Math.floor(y)];
  const [x1, y1] = [Math.min(x0 + 1, width - 1), Math.min(y0 + 1, height - 1)];
  const upper = values[y0 * width + x0] * (1 - x + x0) + values[y0 * width + x1] * (x - x0);
  const lower = values[y1 * width + x0] * (1 - x + x0) + values[y1 * width + x1] * (x - x0);
  return upper * (1 - y + y0) + lower * (y - y0);
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const argmax = (values) => values.indexOf(Math.max(...values));

// The rows of a tensor (N, K), averaged by the weights of the boxes.
function mean({ data, dims: [, columns] }, boxes) {
  const column = (k) => sum(boxes.map((box, n) => box.weight * data[n * columns + k]));
  return Array.from({ length: columns }, (_, k) => column(k));
}

function softmax(values) {
  const top = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - top));
  const total = sum(powers);
  return powers.map((power) => power / total);
}
