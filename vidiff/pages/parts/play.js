"use strict";
const videos = [...document.querySelectorAll("video")];
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

// Videos that several places show are held once, by key; a place loads its own while it is shown.
const held = document.getElementById("clips");
const clips = held ? JSON.parse(held.textContent) : {};
function load(place) {
  const hidden = Boolean(place.closest("[hidden]"));
  if (hidden && place.src) { place.removeAttribute("src"); place.load?.(); }
  if (!hidden && !place.src) place.src = clips[place.dataset.clip];
}

// For tests: how many videos there are, and how many of them this browser has decoded.
function count() {
  document.body.dataset.videos = videos.filter(video => video.src).length;
  document.body.dataset.decoded = videos.filter(video => video.src && video.readyState >= 2).length;
}

// Only what is in view plays: a phone has few decoders. Without motion, a tap plays.
const watcher = new IntersectionObserver(entries => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting && !still) target.play().catch(error => {
      // Playing is cut short where the video is hidden again: no fault.
      if (error.name !== "AbortError") target.controls = true;
    });
    else target.pause();
  }
}, { rootMargin: "100px" });
for (const video of videos) {
  watcher.observe(video);
  video.controls = still;
  video.addEventListener("loadeddata", count);
}

const wanted = {};
function show() {
  for (const part of document.querySelectorAll("[data-group], [data-score], [data-item]")) {
    const { mark, score } = part.dataset;
    const group = part.closest("[data-group]")?.dataset.group;
    part.hidden = [["mark", mark], ["score", score], ["group", group]].some(
      ([filter, value]) => wanted[filter] && value !== undefined && value !== wanted[filter]);
  }
  document.querySelectorAll("[data-clip]").forEach(load);
  count();
}
for (const button of document.querySelectorAll("[data-filter]")) {
  const { filter, value } = button.dataset;
  if (button.getAttribute("aria-pressed") === "true") wanted[filter] = value;
  button.addEventListener("click", () => {
    wanted[filter] = value;
    for (const other of button.parentNode.children)
      other.setAttribute("aria-pressed", String(other === button));
    show();
  });
}
show();
