// What the page does in the browser: it shrinks images before they are sent, keeps the address,
// and blends maps.
() => {
  const LONGEST = 640; // pixels of an image that is sent
  const LOSSLESS = 256; // up to this size it is sent as PNG
  const KEPT = "own-image"; // in the session's storage: the visitor's image, for a reload

  // Images. Re-encoding also drops the place where a photograph was taken.
  let untouched = null; // the size of an image that was reduced before the reload
  const drawOn = (canvas, image, width, height) => {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(image, 0, 0, width, height);
    return context;
  };
  const shrink = async (file) => {
    if (file.size === untouched) return file;
    const bitmap = await createImageBitmap(file).catch(() => null);
    if (!bitmap) return file; // the server says why it cannot be used
    const longest = Math.max(bitmap.width, bitmap.height);
    const scale = Math.min(1, LONGEST / longest);
    const canvas = document.createElement("canvas");
    drawOn(canvas, bitmap, Math.ceil(bitmap.width * scale), Math.ceil(bitmap.height * scale));
    const type = longest <= LOSSLESS ? "png" : "jpeg";
    const url = canvas.toDataURL(`image/${type}`, 0.88);
    try {
      sessionStorage.setItem(KEPT, url);
    } catch {
      // Storage is full or forbidden: a reload will lose the image.
    }
    return fileOf(url);
  };
  const fetchBefore = window.fetch;
  const fileOf = async (url) => {
    const blob = await (await fetchBefore(url)).blob();
    return new File([blob], `own.${blob.type.split("/")[1]}`, { type: blob.type });
  };
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
  const restoreOwn = async () => {
    const kept = sessionStorage.getItem(KEPT);
    if (!kept || new URLSearchParams(location.search).get("image") !== "own") return;
    const input = document.querySelector("#image input[type=file]");
    const files = new DataTransfer();
    files.items.add(await fileOf(kept));
    untouched = files.files[0].size;
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // The address. It is written once what it says has been restored.
  let restored = false;
  window.demo = {
    imageUrl: null,
    start: () => {
      restored = true;
      restoreOwn();
    },
    remember: (key, value, start) => {
      if (!restored) return;
      const query = new URLSearchParams(location.search);
      if (value === start || !value) query.delete(key);
      else query.set(key, value);
      const search = query.size ? `?${query}` : "";
      if (search !== location.search) history.pushState(null, "", location.pathname + search);
    },
    setImage: (file) => {
      window.demo.imageUrl = file?.url ?? null;
      window.demo.remember("image", file?.path?.match(/\/([a-z]+|test-\d+)\.(png|jpeg)$/)?.[1]);
      document.dispatchEvent(new CustomEvent("demo:image"));
    },
  };
  window.addEventListener("popstate", () => location.reload());

  // Maps.
  const download = async (button) => {
    const map = button.closest("figure").querySelector(".map");
    const photo = new Image();
    photo.src = getComputedStyle(map).getPropertyValue("--photo").match(/url\("?(.*?)"?\)/)[1];
    await photo.decode();
    const scale = Math.max(1, 400 / Math.max(photo.width, photo.height));
    const canvas = document.createElement("canvas");
    const context = drawOn(canvas, photo, photo.width * scale, photo.height * scale);
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
  document.addEventListener("input", ({ target }) => {
    if (target.matches?.(".opacity")) {
      document.documentElement.style.setProperty("--opacity", target.value);
      for (const slider of document.querySelectorAll(".opacity")) slider.value = target.value;
    }
  });
  document.addEventListener("click", async ({ target }) => {
    if (target.matches?.(".download")) download(target);
    if (target.matches?.(".share")) {
      await navigator.clipboard.writeText(location.href);
      const own = location.search.includes("image=own");
      target.textContent = own ? "Copied, without your own image" : "Copied";
      setTimeout(() => (target.textContent = "Copy link"), 2500);
    }
  });
}
