// The image on a canvas, changed by sliders and a brush; every change is sent to the server.
const canvas = element.querySelector("canvas");
const context = canvas.getContext("2d");
const sliders = [...element.querySelectorAll("input")];
const defaults = sliders.map((slider) => slider.value);
const GREY = "#7f7f7f"; // hidden parts, and what lies outside the image
const NATIVE = 32; // up to this size the image is sent losslessly
const LONGEST = 320; // pixels of a larger image
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
let image = null;
let hidden = []; // [x, y, radius] of each brush stroke, in pixels
let cursor = null; // of the brush when it is moved by keys
let timer = null;

const value = (name) => Number(sliders.find((slider) => slider.name === name).value);
const longest = () => Math.max(canvas.width, canvas.height);
const radius = () => (value("brush") * longest()) / 2;

const circle = ([x, y, radius], style) => {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context[`${style}Style`] = style === "fill" ? GREY : "#fff";
  context[style]();
};

// Fewer pixels and back: `context.filter` does not exist in every browser.
const blur = () => {
  const small = document.createElement("canvas");
  const scale = 1 / (1 + (value("blur") * longest()) / 8);
  small.width = Math.max(2, Math.round(canvas.width * scale));
  small.height = Math.max(2, Math.round(canvas.height * scale));
  small.getContext("2d").drawImage(canvas, 0, 0, small.width, small.height);
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
};

const draw = () => {
  const { width, height } = canvas;
  context.fillStyle = GREY;
  context.fillRect(0, 0, width, height);
  context.save();
  context.translate(width * (0.5 + value("across")), height * (0.5 + value("down")));
  context.rotate((value("rotate") * Math.PI) / 180);
  context.scale(value("zoom"), value("zoom"));
  context.drawImage(image, -width / 2, -height / 2, width, height);
  context.restore();
  if (value("blur")) blur();
  for (const stroke of hidden) circle(stroke, "fill");
};

const change = () => {
  if (!image) return;
  draw();
  clearTimeout(timer);
  timer = setTimeout(() => {
    props.value = canvas.toDataURL(longest() <= NATIVE ? "image/png" : "image/jpeg", 0.92);
    trigger("input");
  }, 120);
};

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
  if (!element.isConnected) return document.removeEventListener("demo:image", load);
  image = null;
  if (!window.demo?.imageUrl) return;
  const loaded = new Image();
  loaded.onload = () => {
    const { naturalWidth: width, naturalHeight: height } = loaded;
    const scale = Math.min(1, LONGEST / Math.max(width, height));
    canvas.width = Math.ceil(width * scale);
    canvas.height = Math.ceil(height * scale);
    canvas.style.imageRendering = longest() <= 2 * NATIVE ? "pixelated" : "auto";
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

const byKey = (event) => {
  if (!image || !(event.key in MOVES || event.key === " ")) return;
  event.preventDefault();
  if (event.key === " ") return hide(...cursor);
  cursor = cursor.map((at, axis) => at + (MOVES[event.key][axis] * canvas.width) / 32);
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
