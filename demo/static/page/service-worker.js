// Keeps every file of the page in the browser, so that it works offline.
// The build replaces VERSION by a hash of the files, and FILES by their names.

const CACHE = "mobilenetv3-cifar-VERSION";
const FILES = [];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  event.waitUntil(removeFormer().then(() => self.clients.claim()));
});

async function removeFormer() {
  const names = (await caches.keys()).filter((name) => name.startsWith("mobilenetv3-cifar-"));
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
}

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  event.respondWith(
    caches.open(CACHE).then(async (cache) => (await cache.match(event.request)) ?? fetch(event.request)),
  );
});
