// What gradio does not tell a screen reader. Its thumbnails are buttons without a name: give them
// their picture's alternative text or, where it has none, the name of its file. And have new answers
// said. Gradio draws a tab when it is opened, so this looks again after every change of the page.
() => {
  const name = (image) => image.alt || image.src.split("/").pop().split(".")[0];
  const tell = () => {
    for (const image of document.querySelectorAll(".gallery-item img")) {
      image.closest("button")?.setAttribute("aria-label", name(image));
    }
    for (const answer of document.querySelectorAll(".answer")) {
      answer.setAttribute("aria-live", "polite");
    }
  };
  new MutationObserver(tell).observe(document.body, { childList: true, subtree: true });
  tell();
}
