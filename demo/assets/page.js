// What the page does in the browser: it shrinks images before they are sent, blends maps, keeps
// the address, and names what gradio leaves without a name.
() => {
  const LONGEST = 640; // pixels of an image that is sent
  const LOSSLESS = 256; // up to this size it is sent as PNG
  const KEPT = "own-image"; // in the session's storage: the visitor's image, for a reload

  // Images. Re-encoding also drops the place where a photograph was taken.
  let untouched = null; // the size of an image that was reduced before the reload
  const shrink = async (file) => {
    if (file.size === untouched) return file;
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      return file; // the server says why it cannot be used
    }
    const longest = Math.max(bitmap.width, bitmap.height);
    const scale = Math.min(1, LONGEST / longest);
    const canvas = document.createElement("canvas");
    canvas.width = Math.ceil(bitmap.width * scale);
    canvas.height = Math.ceil(bitmap.height * scale);
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const [type, name] = longest <= LOSSLESS ? ["image/png", "own.png"] : ["image/jpeg", "own.jpg"];
    keep(canvas.toDataURL(type, 0.88));
    const blob = await new Promise((done) => canvas.toBlob(done, type, 0.88));
    return new File([blob], name, { type });
  };
  const keep = (url) => {
    try {
      sessionStorage.setItem(KEPT, url);
    } catch {
      // Storage is full or forbidden: a reload will lose the image.
    }
  };
  const fetchBefore = window.fetch;
  window.fetch = async (address, options) => {
    if (options?.body instanceof FormData && String(address?.url ?? address).includes("/upload")) {
      const body = new FormData();
      for (const [key, value] of options.body) {
        body.append(key, value instanceof File ? await shrink(value) : value);
      }
      options = { ...options, body };
    }
    return fetchBefore(address, options);
  };
  const restoreOwn = async (tries = 50) => {
    const kept = sessionStorage.getItem(KEPT);
    if (!kept || new URLSearchParams(location.search).get("image") !== "own") return;
    const input = document.querySelector("#image input[type=file]");
    if (!input) {
      if (tries) setTimeout(restoreOwn, 200, tries - 1);
      return;
    }
    const blob = await (await fetchBefore(kept)).blob();
    untouched = blob.size;
    const files = new DataTransfer();
    const name = blob.type === "image/png" ? "own.png" : "own.jpg";
    files.items.add(new File([blob], name, { type: blob.type }));
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // The address. It is written once what it says has been restored.
  let restored = false;
  const remember = (key, value, start) => {
    if (!restored) return;
    const query = new URLSearchParams(location.search);
    if (value === start || !value) query.delete(key);
    else query.set(key, value);
    const address = `${location.pathname}${query.size ? `?${query}` : ""}`;
    if (address !== location.pathname + location.search) history.pushState(null, "", address);
  };
  window.demo = {
    imageUrl: null,
    remember,
    start: () => {
      restored = true;
    },
    setImage: (file) => {
      const name = file?.path?.match(/\/([a-z]+|test-\d+)\.(png|jpg)$/)?.[1];
      window.demo.imageUrl = file?.url ?? null;
      remember("image", name ?? null);
      document.dispatchEvent(new CustomEvent("demo:image"));
    },
  };
  window.addEventListener("popstate", () => location.reload());

  // Maps and charts.
  const setOpacity = (value) => {
    document.documentElement.style.setProperty("--opacity", value);
    for (const slider of document.querySelectorAll(".opacity")) slider.value = value;
  };
  const loadImage = (url) =>
    new Promise((done, fail) => {
      const image = new Image();
      image.onload = () => done(image);
      image.onerror = fail;
      image.src = url;
    });
  const download = async (button) => {
    const map = button.closest("figure").querySelector(".map");
    const photo = getComputedStyle(map).getPropertyValue("--photo").match(/url\("?(.*?)"?\)/)[1];
    const background = await loadImage(photo);
    const canvas = document.createElement("canvas");
    const scale = Math.max(1, 400 / Math.max(background.width, background.height));
    canvas.width = Math.round(background.width * scale);
    canvas.height = Math.round(background.height * scale);
    const context = canvas.getContext("2d");
    context.drawImage(background, 0, 0, canvas.width, canvas.height);
    const heat = map.querySelector(".heat");
    if (heat) {
      context.globalAlpha = getComputedStyle(heat).opacity;
      context.drawImage(heat, 0, 0, canvas.width, canvas.height);
    }
    const link = document.createElement("a");
    link.href = canvas.toDataURL("image/png");
    link.download = button.dataset.file;
    link.click();
  };
  const readEpoch = (slider) => {
    const block = slider.closest(".curves");
    const epoch = Number(slider.value);
    for (const line of block.querySelectorAll(".cursor")) {
      const { left, right, last } = line.dataset;
      const x = Number(left) + ((right - left) * (epoch - 1)) / (last - 1);
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
    const percent = (value) => `${(100 * value).toFixed(1)} %`;
    const lines = Object.entries(JSON.parse(block.dataset.epochs)).map(([name, rows]) => {
      const row = rows[epoch - 1];
      return row
        ? `${name}: training ${percent(row[1])}, validation ${percent(row[3])}`
        : `${name}: not trained so long`;
    });
    block.querySelector(".reading").textContent = `Epoch ${epoch}. ${lines.join("; ")}.`;
  };
  document.addEventListener("input", ({ target }) => {
    if (target.matches?.(".opacity")) setOpacity(target.value);
    if (target.matches?.(".epoch")) readEpoch(target);
  });
  document.addEventListener("click", async ({ target }) => {
    if (target.matches?.(".download")) download(target);
    if (target.matches?.(".share")) {
      await navigator.clipboard.writeText(location.href);
      target.textContent = location.search.includes("image=own")
        ? "Copied, without your own image"
        : "Copied";
      setTimeout(() => (target.textContent = "Copy link"), 2500);
    }
  });
  restoreOwn();
}
