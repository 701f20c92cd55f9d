// The scheme that the reader chose, before the first paint: a classic script on purpose.
try {
  const chosen = localStorage.getItem("agora.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // storage is blocked: the system's scheme holds
}
