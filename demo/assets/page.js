// What gradio gets wrong about its pictures, put right from outside.
() => {
  // To a screen reader its thumbnails are buttons without a name, or called by their number: give
  // them their caption, their picture's alternative text or the name of its file. And have new
  // answers said. A tab is drawn when it is opened, so this looks again after every change.
  const name = (image) => image.alt || image.src.split("/").pop().split(".")[0];
  const set = (element, key, value) => {
    if (element && value && element.getAttribute(key) !== value) element.setAttribute(key, value);
  };
  const tell = () => {
    for (const image of document.querySelectorAll(".gallery-item img")) {
      set(image.closest("button"), "aria-label", name(image));
    }
    for (const caption of document.querySelectorAll(".captions .caption-label")) {
      set(caption.closest("button"), "aria-label", caption.textContent.trim());
    }
    for (const answer of document.querySelectorAll(".answer")) set(answer, "aria-live", "polite");
  };
  const anything = { childList: true, subtree: true, characterData: true };
  new MutationObserver(tell).observe(document.body, anything);
  tell();

  // It takes a clicked picture to be shown no larger than it is, and without padding. Ours fills its
  // frame: send the click on from where gradio would look for that pixel.
  const move = (event) => {
    if (!event.isTrusted || !event.target.matches?.("#picture img")) return;
    event.stopImmediatePropagation();
    const { naturalWidth, naturalHeight } = event.target;
    const box = event.target.getBoundingClientRect();
    const style = getComputedStyle(event.target);
    const [top, right, bottom, left] = ["Top", "Right", "Bottom", "Left"].map((side) =>
      parseFloat(style[`padding${side}`]),
    );
    const width = box.width - left - right;
    const height = box.height - top - bottom;
    const shown = Math.min(width / naturalWidth, height / naturalHeight);
    const x = (event.clientX - box.left - left - (width - naturalWidth * shown) / 2) / shown;
    const y = (event.clientY - box.top - top - (height - naturalHeight * shown) / 2) / shown;
    if (x < 0 || x >= naturalWidth || y < 0 || y >= naturalHeight) return;
    const scale = Math.min(box.width / naturalWidth, box.height / naturalHeight, 1);
    const at = (pixel) => (Math.floor(pixel) + 0.49) * scale; // it rounds to the nearest
    const moved = new PointerEvent("click", {
      bubbles: true,
      clientX: box.left + (box.width - naturalWidth * scale) / 2 + at(x),
      clientY: box.top + (box.height - naturalHeight * scale) / 2 + at(y),
    });
    event.target.dispatchEvent(moved);
  };
  document.addEventListener("click", move, true);
}
