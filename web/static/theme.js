// Before the first paint: the scheme that the reader chose, so that the page does not flash. A classic script on purpose.
try {
  const chosen = localStorage.getItem("agora.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // storage is blocked: the system's scheme holds
}
