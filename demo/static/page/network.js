// Runs the network, which gives probabilities, a "probably none" verdict and an activation map.

import * as ort from "./ort.wasm.bundle.min.mjs";
import { SIZE, reduce, views } from "./images.js";

export class Network {
  static async load() {
    ort.env.wasm.numThreads = 1; // more threads need HTTP headers that static hosts do not send
    const network = new Network();
    [network.facts, network.session] = await Promise.all([
      fetch("network.json").then((response) => response.json()),
      ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] }),
    ]);
    return network;
  }

  // `image` is an ImageData. `target` is the index of the class to explain, or -1 for the predicted class.
  // If `several` is false, only the whole image is classified, even for a photograph.
  async answer(image, target = -1, several = true) {
    const squares = several ? views(image) : [reduce(image)];
    const { labels, temperature, ood_score: score, ood_threshold: threshold } = this.facts;
    let outputs = await this.run(squares, target);
    // Each class's logit, averaged over the views.
    const logits = labels.map((_, label) => mean(squares.map((_, i) => outputs.logits.data[i * labels.length + label])));
    const averaged = mean([...outputs.ood_score.data]); // for a linear score, this is the score of the mean features
    const highest = Math.max(...logits);
    const index = target < 0 ? logits.indexOf(highest) : target;
    if (squares.length > 1) outputs = await this.run(squares.slice(0, 1), index); // the whole image's map
    const [gaps, tempered] = [1, temperature].map((by) => logits.map((each) => Math.exp((each - highest) / by)));
    const probabilities = tempered.map((each) => each / sum(tempered));
    const scores = { confidence: Math.max(...probabilities), energy: highest + Math.log(sum(gaps)), linear: averaged };
    return {
      index,
      probabilities,
      probablyNone: threshold !== null && scores[score] < threshold,
      map: outputs.activation_map.data, // values from 0 to 1, row by row
      mapSize: outputs.activation_map.dims[2], // pixels per side
    };
  }

  // `squares` are N arrays of RGB bytes.
  run(squares, target) {
    const images = new Uint8Array(squares.flatMap((square) => [...square]));
    return this.session.run({
      images: new ort.Tensor("uint8", images, [squares.length, SIZE, SIZE, 3]),
      target: new ort.Tensor("int32", squares.map(() => target), [squares.length]),
    });
  }
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const mean = (values) => sum(values) / values.length;
