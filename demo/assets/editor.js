// The image on a canvas, changed by sliders and a brush; every change is sent to the server.
const canvas = element.querySelector("canvas");
const context = canvas.getContext("2d");
const sliders = [...element.querySelectorAll("input")];
const defaults = sliders.map((slider) => slider.value);
const GREY = "#7f7f7f"; // hidden parts, and what lies outside the image
const NATIVE = 32; // up to this size the image is sent losslessly
const LONGEST = 320; // pixels of a larger image
let image = null;
let hidden = []; // [x, y, radius] of each brush stroke, in pixels
let cursor = null; // of the brush when it is moved by keys
let timer = null;

const value = (name) => Number(sliders.find((slider) => slider.name === name).value);

const drawImage = () => {
  const { width, height } = canvas;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = GREY;
  context.fillRect(0, 0, width, height);
  context.translate(width * (0.5 + value("across")), height * (0.5 + value("down")));
  context.rotate((value("rotate") * Math.PI) / 180);
  context.scale(value("zoom"), value("zoom"));
  context.drawImage(image, -width / 2, -height / 2, width, height);
  context.setTransform(1, 0, 0, 1, 0, 0);
};

// Fewer pixels and back: `context.filter` does not exist in every browser.
const blur = () => {
  if (!value("blur")) return;
  const small = document.createElement("canvas");
  const scale = 1 / (1 + (value("blur") * Math.max(canvas.width, canvas.height)) / 8);
  small.width = Math.max(2, Math.round(canvas.width * scale));
  small.height = Math.max(2, Math.round(canvas.height * scale));
  small.getContext("2d").drawImage(canvas, 0, 0, small.width, small.height);
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
};

const circle = ([x, y, radius], style) => {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context[`${style}Style`] = style === "fill" ? GREY : "#fff";
  context[style]();
};

const draw = () => {
  if (!image) return;
  drawImage();
  blur();
  for (const stroke of hidden) circle(stroke, "fill");
};

const send = () => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const lossless = Math.max(canvas.width, canvas.height) <= NATIVE;
    props.value = canvas.toDataURL(lossless ? "image/png" : "image/jpeg", 0.92);
    trigger("input");
  }, 120);
};

const change = () => {
  if (!image) return;
  draw();
  send();
};

const radius = () => (value("brush") * Math.max(canvas.width, canvas.height)) / 2;

const hide = (x, y) => {
  hidden.push([x, y, radius()]);
  change();
};

const reset = () => {
  sliders.forEach((slider, index) => (slider.value = defaults[index]));
  hidden = [];
  change();
};

const load = () => {
  image = null;
  if (!window.demo?.imageUrl) return;
  const loaded = new Image();
  loaded.onload = () => {
    const longest = Math.max(loaded.naturalWidth, loaded.naturalHeight);
    const scale = Math.min(1, LONGEST / longest);
    canvas.width = Math.max(1, Math.ceil(loaded.naturalWidth * scale));
    canvas.height = Math.max(1, Math.ceil(loaded.naturalHeight * scale));
    canvas.style.imageRendering = longest <= 2 * NATIVE ? "pixelated" : "auto";
    cursor = [canvas.width / 2, canvas.height / 2];
    image = loaded;
    reset();
  };
  loaded.src = window.demo.imageUrl;
};

const hideAt = (event) => {
  if (!event.buttons) return;
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  hide((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
};

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const byKey = (event) => {
  if (!image || !(event.key in MOVES || event.key === " ")) return;
  event.preventDefault();
  if (event.key === " ") return hide(...cursor);
  const step = canvas.width / 32;
  cursor = cursor.map((at, axis) => at + MOVES[event.key][axis] * step);
  draw();
  circle([...cursor, radius()], "stroke"); // shown, not sent
};

canvas.addEventListener("pointerdown", hideAt);
canvas.addEventListener("pointermove", hideAt);
canvas.addEventListener("keydown", byKey);
for (const slider of sliders) slider.addEventListener("input", change);
element.querySelector(".reset").addEventListener("click", reset);
document.addEventListener("demo:image", load);
load();
