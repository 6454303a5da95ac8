// The network: gives an image's probabilities, "probably none" verdict and activation map.

import * as ort from "./ort.wasm.bundle.min.mjs";
import { SIZE, reduce } from "./images.js";

export class Network {
  static async load() {
    ort.env.wasm.numThreads = 1; // more threads need headers that static hosts do not send
    const network = new Network();
    [network.facts, network.session] = await Promise.all([
      fetch("network.json").then((response) => response.json()),
      ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] }),
    ]);
    return network;
  }

  // image: ImageData; target: the index of the class to explain, -1 for the predicted one.
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
      map: outputs.activation_map.data, // from 0 to 1, in rows
      mapSize: outputs.activation_map.dims[2], // pixels per side
    };
  }
}
