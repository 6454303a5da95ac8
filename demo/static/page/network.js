// Runs the network, which gives probabilities, a "probably none" verdict and an activation map.

import * as ort from "./ort.wasm.bundle.min.mjs";
import { SIZE, reduce } from "./images.js";

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
  async answer(image, target = -1) {
    const outputs = await this.session.run({
      images: new ort.Tensor("uint8", reduce(image), [1, SIZE, SIZE, 3]),
      target: new ort.Tensor("int32", [target], [1]),
    });
    const probabilities = [...outputs.probabilities.data];
    const threshold = this.facts.ood_threshold;
    return {
      index: target < 0 ? probabilities.indexOf(Math.max(...probabilities)) : target,
      probabilities,
      probablyNone: threshold !== null && outputs.ood_score.data[0] < threshold,
      map: outputs.activation_map.data, // values from 0 to 1, row by row
      mapSize: outputs.activation_map.dims[2], // pixels per side
    };
  }
}
