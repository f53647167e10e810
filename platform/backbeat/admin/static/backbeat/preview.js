// While a schedule is written, asks the server what it means. The server answers with the scheduler's own computation.
"use strict";
{
  const PAUSE = 180;
  const waiting = new WeakMap();
  const SHOWN = { cron: ["expr", "tz"], every: ["interval"], once: ["at"], rrule: ["line"], solar: ["line"] };

  const address = () => document.querySelector("[data-preview]")?.dataset.preview;
  const value = (selector) => document.querySelector(selector)?.value ?? "";
  const row = (element) => element.closest(".inline-related");

  // `schedules-0-expr` is `expr`, as the form without a prefix knows it.
  const query = (schedule) => {
    const asked = new URLSearchParams();
    for (const input of schedule.querySelectorAll("input[name], select[name], textarea[name]")) {
      const name = input.name.replace(/^schedules-(\d+|__prefix__)-/, "");
      if (name === "id" || name === "job" || name === "DELETE") continue;
      if (input.type !== "checkbox") asked.set(name, input.value);
      else if (input.checked) asked.set(name, "on");
    }
    asked.set("job", value("#id_name") || document.querySelector(".field-name .readonly")?.textContent || "");
    asked.set("task", value("#id_task"));
    asked.set("viewer", Intl.DateTimeFormat().resolvedOptions().timeZone ?? "");
    return asked;
  };

  const ask = async (schedule) => {
    const box = schedule.querySelector(".bb-preview");
    if (!box || !address()) return;
    const asked = query(schedule);
    if (!asked.get("expr") && asked.get("kind") === "cron") return;
    waiting.get(box)?.abort();
    const stop = new AbortController();
    waiting.set(box, stop);
    box.classList.add("bb-asking");
    try {
      const answer = await fetch(`${address()}?${asked}`, { signal: stop.signal, credentials: "same-origin" });
      // The server escapes whatever it shows; this is its own template, filled in.
      if (answer.ok) box.innerHTML = await answer.text();
      box.classList.remove("bb-asking");
    } catch (error) {
      if (error.name !== "AbortError") box.classList.remove("bb-asking");
    }
  };

  // Only the inputs of the chosen kind are in sight; without JavaScript all of them are.
  const sort = (schedule) => {
    const kind = schedule.querySelector("select[name$='-kind']")?.value;
    if (!kind) return;
    for (const name of Object.values(SHOWN).flat()) {
      // The parent holds the help text as well.
      schedule.querySelector(`.fieldBox.field-${name}`)?.parentElement.classList.toggle("bb-away", !SHOWN[kind].includes(name));
    }
  };

  const timers = new WeakMap();
  const changed = (event) => {
    const schedule = row(event.target);
    if (!schedule?.querySelector(".bb-preview")) return;
    sort(schedule);
    clearTimeout(timers.get(schedule));
    timers.set(schedule, setTimeout(() => ask(schedule), PAUSE));
  };

  const begin = () => {
    for (const schedule of document.querySelectorAll(".inline-related")) {
      sort(schedule);
      if (schedule.classList.contains("has_original")) ask(schedule);
    }
    document.addEventListener("input", changed);
    document.addEventListener("change", changed);
    document.addEventListener("formset:added", (event) => sort(event.target));
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
}
