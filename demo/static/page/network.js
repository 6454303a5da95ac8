// The network: an image -> probabilities, "probably none" score and activation map.
// Averages over crops follow mobilenetv3_cifar.classifier and .explanation.

import * as ort from "./ort.wasm.bundle.min.mjs";
import { NATIVE_SIZE, crops, reduce } from "./images.js";

const MAP_SIZE = 64; // pixels a side of the drawn map; the page enlarges it smoothly
const TINY = 2 ** -126; // the smallest normal float32

export class Network {
  static async load() {
    ort.env.wasm.numThreads = 1; // more need headers that static hosts do not send
    ort.env.wasm.wasmPaths = { wasm: new URL("./ort.wasm", import.meta.url).href };
    const [facts, session] = await Promise.all([
      fetch("network.json").then((response) => response.json()),
      ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] }),
    ]);
    return new Network(facts, session);
  }

  constructor(facts, session) {
    this.facts = facts;
    this.session = session;
  }

  // target: the index of the class that the map is for; -1 for the predicted class.
  async answer(image, target = -1) {
    const { boxes, weights } = merge(crops(image.width, image.height, this.facts.crops.middle));
    const pixels = boxes.map((box) => reduce(image, box));
    let outputs = await this.run(pixels, target);
    const logits = mean(rowsOf(outputs.logits), weights);
    const probabilities = softmax(logits.map((value) => value / this.facts.temperature));
    const index = target < 0 ? argmax(logits) : target;
    const others = rowsOf(outputs.logits).some((row) => argmax(row) !== index);
    if (target < 0 && others) outputs = await this.run(pixels, index);
    const score = this.score(logits, probabilities, mean(rowsOf(outputs.features), weights));
    const threshold = this.facts.ood_threshold;
    return {
      index,
      probabilities,
      probablyNone: threshold !== null && score < threshold,
      map: pasteMaps(cams(outputs), boxes, weights, image),
    };
  }

  run(pixels, target) {
    const images = new Uint8Array(pixels.length * NATIVE_SIZE * NATIVE_SIZE * 3);
    pixels.forEach((part, i) => images.set(part, i * part.length));
    const shape = [pixels.length, NATIVE_SIZE, NATIVE_SIZE, 3];
    return this.session.run({
      images: new ort.Tensor("uint8", images, shape),
      target: new ort.Tensor("int32", new Int32Array(pixels.length).fill(target), [pixels.length]),
    });
  }

  score(logits, probabilities, features) {
    const { ood_score: name, class_distances: distances, feature_mean: centre } = this.facts;
    const top = Math.max(...logits);
    if (name === "confidence") return Math.max(...probabilities);
    if (name === "energy") return top + Math.log(sum(logits.map((value) => Math.exp(value - top))));
    const row = distances[argmax(logits)];
    const gaps = sum(logits.map((value, c) => (top - value) / Math.max(row[c], TINY)));
    const distance = Math.hypot(...features.map((value, k) => value - centre[k]));
    return gaps / Math.max(logits.length - 1, 1) / Math.max(distance, TINY);
  }
}

// Equal crops (of a square image, the first two) once, with their weights in the mean.
function merge(all) {
  const boxes = [...new Map(all.map((box) => [String(box), box])).values()];
  const count = (box) => all.filter((other) => String(other) === String(box)).length;
  return { boxes, weights: boxes.map((box) => count(box) / all.length) };
}

// Grad-CAM of each crop: {values, height, width}, at least 0.
function cams({ feature_map: { data, dims }, gradient }) {
  const [n, channels, height, width] = dims;
  const places = height * width;
  return Array.from({ length: n }, (_, image) => {
    const values = new Float32Array(places);
    for (let k = 0; k < channels; k++) {
      const weight = gradient.data[image * channels + k] / places;
      const start = (image * channels + k) * places;
      for (let i = 0; i < places; i++) values[i] += weight * data[start + i];
    }
    return { values: values.map((value) => Math.max(0, value)), height, width };
  });
}

// The mean of the crops' maps, each laid over its box, from 0 to 1: MAP_SIZE x MAP_SIZE.
function pasteMaps(maps, boxes, weights, { width, height }) {
  const out = new Float32Array(MAP_SIZE * MAP_SIZE);
  maps.forEach((map, n) => {
    const [left, top, right, bottom] = boxes[n];
    for (let y = 0; y < MAP_SIZE; y++) {
      const v = (((y + 0.5) / MAP_SIZE) * height - top) / (bottom - top);
      if (v < 0 || v > 1) continue;
      for (let x = 0; x < MAP_SIZE; x++) {
        const u = (((x + 0.5) / MAP_SIZE) * width - left) / (right - left);
        if (u >= 0 && u <= 1) out[y * MAP_SIZE + x] += weights[n] * bilinear(map, u, v);
      }
    }
  });
  const peak = out.reduce((a, b) => Math.max(a, b), 0);
  return { size: MAP_SIZE, values: peak > 0 ? out.map((value) => value / peak) : out };
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

function rowsOf({ data, dims: [n, columns] }) {
  return Array.from({ length: n }, (_, i) => Array.from(data.slice(i * columns, (i + 1) * columns)));
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const mean = (rows, weights) => rows[0].map((_, i) => sum(rows.map((row, n) => weights[n] * row[i])));
const argmax = (values) => values.indexOf(Math.max(...values));

function softmax(values) {
  const top = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - top));
  const total = sum(powers);
  return powers.map((power) => power / total);
}
