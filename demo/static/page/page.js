// The page takes images from the camera or from a file, and shows the network's answers.

import { Network } from "./network.js";

const SHOWN = 3; // number of classes that have a bar
const LONGEST_SIDE = 2048; // pixels: larger photographs are reduced first, to save memory
const element = (id) => document.getElementById(id);
const [image, map, camera, target] = ["image", "map", "camera", "target"].map(element);
const imageContext = image.getContext("2d", { willReadFrequently: true });
const mapContext = map.getContext("2d");

let network;
let video = null; // the video element while the camera runs, else null
let choices = 0; // how often the visitor has chosen an image, or started or stopped the camera

async function start() {
  network = await Network.load();
  const { labels, name, colours } = network.facts;
  element("network").textContent = `${name} recognises ten classes: ${labels.join(", ")}.`;
  labels.forEach((label, index) => target.add(new Option(label, index)));
  const stops = colours.filter((_, i) => i % 51 === 0).map((rgb) => `rgb(${rgb})`);
  element("scale").style.setProperty("--colours", stops.join(", "));
  await showBlob(await (await fetch("example.png")).blob());
  performance.mark("first answer");
  for (const control of document.querySelectorAll("[disabled]")) control.disabled = false;
}

async function showBlob(blob) {
  const choice = stopCamera();
  const bitmap = await createImageBitmap(blob).catch(() => null);
  if (choice !== choices) return;
  if (!bitmap) return refuse("This file is not an image that your browser can open.");
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const size = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  draw(bitmap, 0, 0, bitmap.width, bitmap.height, ...size);
  await answer();
}

// Draw a part of `source`, scaled to fill the whole image canvas.
function draw(source, left, top, width, height, toWidth, toHeight) {
  if (image.width !== toWidth || image.height !== toHeight) {
    [image.width, image.height] = [toWidth, toHeight];
    element("stage").style.setProperty("--ratio", toWidth / toHeight);
  }
  imageContext.fillStyle = "white"; // behind transparent pixels
  imageContext.fillRect(0, 0, toWidth, toHeight);
  imageContext.drawImage(source, left, top, width, height, 0, 0, toWidth, toHeight);
}

async function answer() {
  const pixels = imageContext.getImageData(0, 0, image.width, image.height);
  const live = video !== null; // for camera frames, several views would take too long
  const prediction = await network.answer(pixels, Number(target.value), !live);
  const { probabilities, probablyNone, index } = prediction;
  const { labels, colours } = network.facts;
  const order = labels.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
  const [best] = order;
  element("verdict").textContent = probablyNone
    ? `Probably none of the ten classes; ${labels[best]} fits best.`
    : labels[best];
  element("bars").replaceChildren(...order.slice(0, SHOWN).map((i) => bar(labels[i], probabilities[i])));
  map.width = map.height = prediction.mapSize;
  const colouring = mapContext.createImageData(prediction.mapSize, prediction.mapSize);
  prediction.map.forEach((value, i) => colouring.data.set([...colours[Math.round(255 * value)], 255], 4 * i));
  mapContext.putImageData(colouring, 0, 0);
  map.dataset.label = labels[index];
}

// Say why there is no prediction, and remove the bars of the previous prediction.
function refuse(reason) {
  element("verdict").textContent = reason;
  element("bars").replaceChildren();
}

function bar(label, probability) {
  const [item, meter, percent] = ["li", "meter", "span"].map((tag) => document.createElement(tag));
  meter.value = probability;
  meter.setAttribute("aria-label", label);
  percent.textContent = `${(100 * probability).toFixed(1)} %`;
  item.append(label, meter, percent);
  return item;
}

async function startCamera() {
  if (!navigator.mediaDevices) return refuse("The camera needs a page that is served over HTTPS.");
  const choice = stopCamera();
  const started = Object.assign(document.createElement("video"), { playsInline: true });
  const wanted = { facingMode: "environment", width: { ideal: 640 }, height: { ideal: 480 } };
  try {
    started.srcObject = await navigator.mediaDevices.getUserMedia({ video: wanted });
    await started.play();
    if (choice === choices) video = started;
  } catch (error) {
    if (choice === choices) refuse(`The camera cannot be used: ${error.message}.`);
  }
  if (video !== started) return stopTracks(started);
  camera.textContent = "Stop camera";
  classifyFrames(video);
}

// Stop the camera, increment `choices`, and return its new value.
function stopCamera() {
  stopTracks(video);
  video = null;
  camera.textContent = "Start camera";
  element("speed").textContent = "";
  return ++choices;
}

function stopTracks(source) {
  source?.srcObject?.getTracks().forEach((track) => track.stop());
}

// Classify the centred square of each frame until the camera stops.
async function classifyFrames(source) {
  let [since, frames] = [performance.now(), 0];
  while (video === source) {
    const { videoWidth: width, videoHeight: height } = source;
    const side = Math.min(width, height);
    draw(source, (width - side) / 2, (height - side) / 2, side, side, side, side);
    await answer();
    frames++;
    const seconds = (performance.now() - since) / 1000;
    if (seconds > 1) {
      element("speed").textContent = `${(frames / seconds).toFixed(1)} frames per second`;
      [since, frames] = [performance.now(), 0];
    }
    await new Promise(requestAnimationFrame);
  }
}

camera.addEventListener("click", () => (video ? stopCamera() : startCamera()));
element("file").addEventListener("change", ({ target: { files } }) => files[0] && showBlob(files[0]));
element("opacity").addEventListener("input", ({ target: { value } }) => (map.style.opacity = value));
target.addEventListener("change", () => video || answer());
start().then(
  // If the browser refuses the service worker, the page still works, but not offline.
  () => navigator.serviceWorker?.register("service-worker.js").catch(console.warn),
  (error) => refuse(`The network cannot be loaded: ${error.message}`),
);
