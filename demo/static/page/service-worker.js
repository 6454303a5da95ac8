// Keeps every file of the page in the browser, so that the page works offline.
// The build replaces VERSION with a hash of the files, and fills FILES with their names.

const CACHE = "mobilenetv3-cifar-VERSION";
const FILES = [];

self.addEventListener("install", (event) => {
  // Without "no-cache", the browser's HTTP cache could return files of the previous version.
  const requests = FILES.map((name) => new Request(name, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => event.waitUntil(takeOver()));

async function takeOver() {
  const former = (await caches.keys()).filter((name) => name.startsWith("mobilenetv3-cifar-") && name !== CACHE);
  await Promise.all(former.map((name) => caches.delete(name)));
  await self.clients.claim();
}

self.addEventListener("fetch", (event) => {
  const fromCache = caches.match(event.request, { cacheName: CACHE });
  event.respondWith(fromCache.then((kept) => kept ?? fetch(event.request)));
});
