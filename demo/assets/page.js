// Gradio's thumbnails are buttons without a name that a screen reader could say: give them their
// picture's alternative text or, where it has none, the name of its file.
() => {
  const name = (image) => image.alt || image.src.split("/").pop().split(".")[0];
  const nameAll = () => {
    for (const image of document.querySelectorAll(".gallery-item img")) {
      image.closest("button")?.setAttribute("aria-label", name(image));
    }
  };
  new MutationObserver(nameAll).observe(document.body, { childList: true, subtree: true });
}
