/** Starts to measure time. */
export function stopwatch(): { milliseconds(): number; seconds(): number } {
  const begin = performance.now();
  return {
    milliseconds: () => performance.now() - begin,
    seconds: () => (performance.now() - begin) / 1_000,
  };
}
