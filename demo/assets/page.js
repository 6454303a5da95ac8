// This script shrinks images before they are sent, keeps the page's state in the URL, sets the
// opacity of the maps, and scrolls to the bars when a visitor opens the view "Fool it" on a phone.
() => {
  const LONGEST = 640; // pixels; the longer side of a sent image is at most this long
  const LOSSLESS = 256; // pixels; an image whose sides are at most this long is sent as PNG
  const KEPT = "own-image"; // sessionStorage key for the visitor's image, restored after a reload

  // Shrinking an image re-encodes it, which removes the location where a photograph was taken.
  const fetchBefore = window.fetch;
  const fileOf = async (url) => {
    const blob = await (await fetchBefore(url)).blob();
    return new File([blob], `own.${blob.type.split("/")[1]}`, { type: blob.type });
  };
  const keep = (url) => {
    try {
      sessionStorage.setItem(KEPT, url);
    } catch {
      // The storage is full or blocked, so a reload will lose the image.
    }
  };
  const shrink = async (file) => {
    const bitmap = await createImageBitmap(file).catch(() => null);
    if (!bitmap) {
      keep(""); // a reload must not show the image that was sent before
      return new File([file], "own", { type: file.type }); // perhaps the server can open it
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
    const url = canvas.toDataURL(longest <= LOSSLESS ? "image/png" : "image/jpeg", 0.88);
    keep(url);
    return fileOf(url);
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
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // The URL stays unchanged until the page has restored its state from the URL.
  let restored = false;
  const remember = (key, value, start) => {
    if (!restored) return;
    if (value?.path) value = value.path.match(/\/([a-z]+|test-\d+)\.\w+$/)?.[1];
    const query = new URLSearchParams(location.search);
    if (value === start || !value) query.delete(key);
    else query.set(key, value);
    const search = query.size ? `?${query}` : "";
    if (search !== location.search) history.pushState(null, "", location.pathname + search);
  };
  window.demo = {
    remember,
    share: async () => {
      await navigator.clipboard.writeText(location.href);
      const own = location.search.includes("image=own");
      return own ? "Copied, without your own image" : "Copied";
    },
    start: () => {
      restored = true;
      restoreOwn();
    },
  };
  window.addEventListener("popstate", () => location.reload());

  document.addEventListener("input", ({ target }) => {
    if (!target.matches(".opacity")) return;
    document.documentElement.style.setProperty("--opacity", target.value);
    for (const slider of document.querySelectorAll(".opacity")) slider.value = target.value;
  });
  document.addEventListener("change", ({ target }) => {
    // On a phone, the sliders would cover the bars until the visitor scrolls.
    const covered = matchMedia("(max-width: 640px)").matches && target.value === "change";
    if (covered) target.closest("#view")?.scrollIntoView();
  });
}
