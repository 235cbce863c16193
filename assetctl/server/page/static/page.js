// What the pages do beside htmx: the form that combines, jobs as they go, pictures that are dropped, copying.
// Every text is put in as text, never as HTML, but what this server's own templates made.

const find = (id) => document.getElementById(id);
const made = (tag, text = "", classes = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = classes;
  return element;
};
const tell = (text) => { find("told").textContent = text; };

const SILENT = { message: "The server did not answer.", hint: "Is it still running?" };

/** Ask the API; what it refuses is thrown, with its message and hint. */
async function ask(method, path, body, type = "application/json") {
  const headers = body === undefined ? {} : { "Content-Type": type };
  const document = await fetch(path, { method, headers, body }).then((answer) => answer.json()).catch(() => ({ error: SILENT }));
  if (document.error) throw Object.assign(new Error(document.error.message), { hint: document.error.hint });
  return document.data;
}

function finding(severity, message, hint) {
  const found = made("div", "", `finding ${severity}`);
  const text = made("p");
  if (severity === "error" || severity === "warning") text.append(made("strong", `${severity}: `));
  text.append(...worded(message));
  found.append(text);
  if (hint) {
    const more = made("p");
    more.append(...worded(hint));
    found.append(more);
  }
  return found;
}

/** What an error page says, if there is one. */
function refusal(page) {
  const said = new DOMParser().parseFromString(page, "text/html").querySelector("h1");
  return said ? finding("error", said.textContent) : finding("error", SILENT.message, SILENT.hint);
}

/** What stands between backticks is typed. */
function worded(text) {
  return String(text).split("`").map((part, n, all) => (n % 2 && n < all.length - 1 ? made("code", part) : n % 2 ? `\`${part}` : part));
}

const turns = {};

/** Put what a template of the server's made of this into a place, where all is escaped; what was asked last counts. */
async function put(id, path, body, type = "application/json") {
  const turn = turns[id] = (turns[id] ?? 0) + 1;
  let text, error;
  try {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": type }, body });
    if (answer.ok) text = await answer.text();
    else error = (await answer.json()).error ?? SILENT;
  } catch {
    error = SILENT;
  }
  if (turn !== turns[id]) return;
  if (error) find(id).replaceChildren(finding("error", error.message, error.hint));
  else find(id).innerHTML = text;
}

const followed = []; // jobs in the order of their turn
let source = null;

/** Call `heard` with each event of a job until it has ended. One is heard at a time, as they are worked on: a browser has
    six connections to a server, for all of its tabs. */
function follow(id, heard, previews = false) {
  followed.push({ id, heard, previews });
  if (followed.length === 1) listen();
}

function listen() {
  source?.close();
  if (!followed.length || document.hidden) return;
  const { id, heard, previews } = followed[0];
  source = new EventSource(`/page/jobs/${id}/events${previews ? "?previews=true" : ""}`);
  const hear = (name, said) => {
    if (name === "job" && ended(said)) {
      followed.shift();
      listen();
    }
    heard(name, said);
  };
  for (const name of ["job", "step", "preview", "started", "bytes"]) {
    source.addEventListener(name, (event) => hear(name, JSON.parse(event.data)));
  }
  source.addEventListener("error", async ({ target }) => {
    if (target.readyState !== EventSource.CLOSED) return; // which else listens again by itself
    const job = await ask("GET", `/v1/jobs/${id}`).catch(({ message, hint }) => (
      message === SILENT.message ? {} : { status: "failed", error: { message, hint }, images: [], assets: [], warnings: [] }));
    if (target !== source) return;
    if (ended(job)) hear("job", job);
    else setTimeout(listen, 2000);
  });
}

document.addEventListener("visibilitychange", listen);

/** A job that waits for its turn to be heard may have ended without having been begun. */
function learned(job) {
  const at = followed.findIndex((each) => each.id === job.id);
  if (at > 0 && ended(job)) followed.splice(at, 1)[0].heard("job", job);
}

// Copying, cancelling, fetching: buttons that templates made, wherever they are.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { copy, cancel, pull, read, start } = button.dataset;
  try {
    if (copy) {
      await copied(find(copy));
      tell("Copied.");
      button.firstChild.data = "Copied"; // what stands behind it is for screen readers
      setTimeout(() => { button.firstChild.data = "Copy"; }, 1500);
    } else if (cancel) {
      button.disabled = true;
      const job = await ask("DELETE", `/v1/jobs/${cancel}`);
      learned(job);
      tell(`Job ${cancel} ${job.status === "cancelled" ? "is cancelled" : ended(job) ? "has ended" : "ends at its next step"}.`);
      if (find("jobs")) window.htmx.trigger("#jobs", "changed");
    } else if (pull) {
      button.disabled = true;
      await fetched(pull, button);
    } else if (read) {
      await put("told-of", "/page/read", JSON.stringify({ text: find(read).value }));
      beginLike();
    } else if (start) {
      sessionStorage.setItem("told", find("told-of").innerHTML);
      location.href = "/combine";
    }
  } catch (error) {
    button.disabled = false;
    if (button.nextElementSibling?.matches(".finding")) button.nextElementSibling.remove();
    button.after(finding("error", error.message, error.hint));
    tell(error.message);
  }
});

async function copied(element) {
  if (navigator.clipboard) return navigator.clipboard.writeText(element.textContent);
  const range = document.createRange(); // pages that came over plain HTTP from elsewhere have no clipboard
  range.selectNodeContents(element);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  document.execCommand("copy");
}

// Fetching and sending assets.

const ended = (said) => ["done", "failed", "cancelled"].includes(said.status);
const amount = (bytes) => bytes < 1e6 ? `${Math.round(bytes / 1e3)} KB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;

// What htmx puts in: what has not changed stays, with who is at it; how much was found is told.

let seen = "";
document.addEventListener("htmx:beforeSwap", ({ target, detail }) => {
  if (target.id !== "jobs") return;
  if (detail.serverResponse === seen) detail.shouldSwap = false;
  seen = detail.serverResponse;
});
document.addEventListener("htmx:beforeRequest", ({ detail }) => {
  if (detail.target.id === "hits") detail.target.replaceChildren(made("p", "Searching…", "lead"));
});
for (const wrong of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(wrong, ({ detail: { target, xhr } }) => {
    if (target.id === "jobs" && seen === null) return; // which is asked for time and again
    if (target.id === "jobs") seen = null;
    target.replaceChildren(refusal(xhr.responseText));
    tell(target.textContent);
  });
}
document.addEventListener("htmx:afterSwap", ({ target, detail }) => {
  if (!["found", "hits"].includes(target.id)) return;
  const count = target.querySelector(".count");
  if (count) tell(count.textContent);
  if (detail.requestConfig.elt.closest(".more")) target.focus({ preventScroll: true });
});

/** A row that shows how far something is, and what became of it. */
function coming(what) {
  const row = made("li", "", "card");
  const state = made("p", what);
  const bar = made("progress");
  const stop = made("button", "Cancel");
  stop.append(made("span", ` ${what}`, "hidden"));
  bar.setAttribute("aria-label", `Progress of ${what}`);
  bar.max = 1;
  stop.type = "button";
  const line = made("p");
  line.append(bar);
  row.append(state, line, stop);
  find("pulls").prepend(row);
  const warnings = [];
  const becomes = (end) => {
    const had = row.contains(document.activeElement);
    row.replaceChildren(end, ...warnings);
    if (!had) return;
    row.tabIndex = -1;
    row.focus();
  };
  return {
    stop,
    warn(message, hint) { warnings.push(finding("warning", message, hint)); },
    far(done, total) {
      if (total) bar.value = done / total;
      state.textContent = total ? `${what}: ${amount(done)} of ${amount(total)}` : `${what}: ${amount(done)}`;
    },
    failed(message, hint) {
      becomes(finding("error", `${what}: ${message}`, hint));
      tell(`${what}: ${message}`);
    },
    here(names) {
      const good = finding("good", `${what} is here`);
      for (const name of names) {
        const link = made("a", name);
        link.href = `/assets/${encodeURIComponent(name)}`;
        good.firstChild.append(names.indexOf(name) ? ", " : ", as ", link);
      }
      becomes(good);
      tell(good.textContent);
    },
  };
}

const pulled = (reference) => ({ reference, ...(find("previews").checked && { previews: true }) });

/** Have something fetched; a button that asked for it can be pressed again where that fails. */
async function fetched(reference, button) {
  const row = coming(reference);
  const failed = (message, hint) => {
    row.failed(message, hint);
    if (button) button.disabled = false;
  };
  row.stop.hidden = true;
  let job;
  try {
    job = await ask("POST", "/v1/pull", JSON.stringify(pulled(reference)));
  } catch (error) {
    failed(error.message, error.hint);
    return;
  }
  row.stop.dataset.cancel = job.id;
  row.stop.hidden = false;
  const files = new Map();
  let all = null;
  follow(job.id, (name, said) => {
    if (["job", "started"].includes(name) && said.total) all = said.total;
    else if (name === "bytes") {
      files.set(said.file, said);
      const each = [...files.values()];
      const sum = (of) => each.reduce((total, file) => total + (file[of] ?? 0), 0);
      row.far(sum("done"), all ?? sum("total"));
    }
    if (name !== "job" || !ended(said)) return;
    for (const each of said.warnings) row.warn(each.message, each.hint);
    if (said.status === "done") row.here(said.assets);
    else failed(said.error ? said.error.message : said.status, said.error?.hint);
  });
}

let sending = Promise.resolve();

/** Send a file as it is, after those before; only this way does a browser tell how far that is. */
function sent(file) {
  const row = coming(file.name);
  const asked = new XMLHttpRequest();
  let stopped = false;
  asked.open("POST", `/v1/assets?filename=${encodeURIComponent(file.name)}`);
  asked.setRequestHeader("Content-Type", "application/octet-stream");
  asked.responseType = "json";
  asked.upload.addEventListener("progress", (event) => row.far(event.loaded, event.total));
  asked.addEventListener("load", () => {
    const { data, error, warnings } = asked.response ?? { error: { message: `The server answered with ${asked.status}.` } };
    for (const each of warnings ?? []) row.warn(each.message, each.hint);
    if (error) row.failed(error.message, error.hint);
    else row.here([data.name]);
  });
  asked.addEventListener("error", () => row.failed("The connection failed.", "Is the server there?"));
  row.stop.addEventListener("click", () => {
    stopped = true;
    asked.abort();
    row.failed("cancelled");
  });
  sending = sending.then(() => stopped || new Promise((over) => {
    asked.addEventListener("loadend", over);
    asked.send(file);
  }));
}

if (find("pull")) {
  const reference = find("reference");
  const nothing = [...find("said").childNodes];
  const say = () => {
    if (reference.value.trim()) {
      put("said", "/page/said/pull", JSON.stringify(pulled(reference.value.trim())));
    } else {
      turns.said = (turns.said ?? 0) + 1;
      find("said").replaceChildren(...nothing);
    }
  };
  reference.addEventListener("input", say);
  find("previews").addEventListener("change", say);
  find("pull").addEventListener("submit", (event) => {
    event.preventDefault();
    fetched(reference.value.trim());
  });
  dropping(find("sending"), find("files"), (files) => {
    if (files.length) put("said", "/page/said/import", JSON.stringify({ filename: files[0].name }));
    for (const file of files) sent(file);
  });
}

/** Have `heard` called with files that are dropped on a place, or chosen in its field. */
function dropping(place, field, heard) {
  const over = (is) => (event) => {
    if (!event.dataTransfer.types.includes("Files")) return; // words may be dragged into a prompt
    event.preventDefault();
    place.classList.toggle("over", is);
  };
  place.addEventListener("dragover", over(true));
  place.addEventListener("dragleave", over(false));
  place.addEventListener("drop", (event) => { over(false)(event); if (event.dataTransfer.files.length) heard([...event.dataTransfer.files]); });
  field?.addEventListener("change", () => {
    const files = [...field.files];
    field.value = ""; // so that the same can be chosen again
    heard(files);
  });
}

// What was this made of?

if (find("dropped")) dropping(find("drop"), find("dropped"), (files) => lookInto(files[0]));

async function lookInto(file) {
  if (!file) return;
  find("told-of").replaceChildren(made("p", "Looking…"));
  const name = encodeURIComponent(file.name.slice(0, 200));
  await put("told-of", `/page/inspect?filename=${name}`, file, "application/octet-stream");
}

// Combining.

const form = find("combine");
const uses = { checkpoint: new Map(), lora: new Map(), embedding: new Map(), vae: new Map() };
const single = (kind) => kind === "checkpoint" || kind === "vae";
let waiting = 0;
const jobs = []; // those that have not ended, in the order of their turn

/** What `/v1/generate` is asked; seeds stay texts, as they may be larger than a script counts. */
function wanted() {
  const body = { prompt: find("prompt").value };
  if (find("negative").value) body.negative_prompt = find("negative").value;
  for (const kind of ["checkpoint", "vae"]) for (const name of uses[kind].keys()) body[kind] = name;
  if (uses.lora.size) body.loras = Object.fromEntries(uses.lora);
  if (uses.embedding.size) body.textual_inversions = Object.fromEntries(uses.embedding);
  if (!find("auto").checked) body.auto_embeddings = false;
  if (find("count").value) body.num_images = Number(find("count").value);
  if (find("count").validity.badInput) body.num_images = "?"; // its value is empty then, and the server is to refuse it
  for (const field of form.querySelectorAll("[data-option]")) {
    const { option, type } = field.dataset;
    if (type === "bool") {
      if (field.checked) body[option] = true;
    } else if (field.validity.badInput) {
      body[option] = "?";
    } else if (type === "text") {
      if (field.value) body[option] = field.value;
    } else if (field.value.trim()) {
      body[option] = type === "int" || type === "float" ? Number(field.value) : field.value.trim();
    }
  }
  return body;
}

/** As JSON, in which seeds are numbers. */
function written(body) {
  return JSON.stringify(body).replace(/"(seed|variation_seed)":"(-1|[0-9]{1,20})"/g, (_, name, digits) => `"${name}":${BigInt(digits)}`);
}

function show(kind) {
  const rows = [...uses[kind]].map(([name, weight]) => {
    const row = find("use-row").content.firstElementChild.cloneNode(true);
    row.querySelector(".name").textContent = name;
    const remove = row.querySelector(".remove");
    remove.append(made("span", ` ${name}`, "hidden"));
    remove.addEventListener("click", () => {
      uses[kind].delete(name);
      show(kind);
      document.querySelector(`[data-place="${kind}"] summary`).focus();
      changed(kind);
    });
    const weighing = row.querySelector(".weighing");
    if (kind !== "lora") weighing.remove();
    for (const input of kind === "lora" ? weighing.children : []) {
      input.value = weight;
      input.setAttribute("aria-label", `${input.type === "range" ? "Slider of the weight" : "Weight"} of ${name}`);
      input.addEventListener("change", () => { if (input.value === "") input.value = uses.lora.get(name); });
      input.addEventListener("input", () => {
        if (input.value === "") return;
        uses.lora.set(name, Number(input.value));
        for (const other of weighing.children) if (other !== input) other.value = input.value;
        changed();
      });
    }
    return row;
  });
  find(`chosen-${kind}`).replaceChildren(...rows);
}

async function offer(kind) {
  const query = new URLSearchParams({ kind, q: find(`find-${kind}`).value, checkpoint: [...uses.checkpoint.keys()][0] ?? "" });
  const id = `offered-${kind}`;
  const turn = turns[id] = (turns[id] ?? 0) + 1;
  let ok = false;
  let text = "";
  try {
    const answer = await fetch(`/page/choose?${query}`);
    text = await answer.text();
    ok = answer.ok;
  } catch { /* which is said below */ }
  if (turn !== turns[id]) return;
  if (ok) find(id).innerHTML = text; // of a template, where names are escaped
  else find(id).replaceChildren(refusal(text));
}

function choose(button) {
  const { choose: kind, name, weight, token } = button.dataset;
  if (button.getAttribute("aria-disabled") === "true") {
    tell(find(button.getAttribute("aria-describedby")).textContent);
    return;
  }
  if (single(kind)) uses[kind].clear();
  uses[kind].set(name, kind === "lora" ? Number(weight) : null);
  if (kind === "embedding" && !`${find("prompt").value} ${find("negative").value}`.includes(token)) {
    find("prompt").value = [find("prompt").value, token].filter(Boolean).join(", ");
  }
  if (single(kind)) button.closest("details").open = false;
  show(kind);
  tell(`${name} is chosen.`);
  if (single(kind)) document.querySelector(`[data-place="${kind}"] summary`).focus();
  changed(kind);
}

function changed(kind) {
  if (kind === "checkpoint") {
    for (const other of ["lora", "embedding", "vae"]) {
      if (document.querySelector(`[data-place="${other}"] details`).open) offer(other);
    }
  }
  find("origin").querySelector("details").open = false; // both were of what stood there before
  find("failed").querySelector(".refused")?.remove();
  clearTimeout(waiting);
  waiting = setTimeout(judge, 250);
}

/** What `check` says of the form as it stands, and the same request elsewhere. */
function judge() {
  const body = written(wanted());
  put("findings", "/page/check", body);
  put("said", `/page/said/${find("said-of").value}`, body);
}

/** Show how far a job is, and let it be cancelled, while there is one. */
function busy() {
  if (!jobs.length && document.activeElement === find("cancel")) find("generate").focus();
  find("cancel").hidden = find("progress").hidden = !jobs.length;
  find("progress").value = 0;
  find("preview").hidden = true;
  step("");
}

/** Show how far a job is; a screen reader says it of the progress, when it is asked. */
function step(text) {
  find("step").textContent = text;
  find("progress").setAttribute("aria-valuetext", text);
}

/** Say what the server does not do for the form as it stands; what became of jobs stays beside it. */
function refuse(error) {
  find("failed").querySelector(".refused")?.remove();
  const refused = finding("error", error.message, error.hint);
  refused.classList.add("refused");
  find("failed").append(refused);
}

async function generate() {
  const state = find("state");
  let id;
  try {
    ({ id } = await ask("POST", "/page/generate", written(wanted())));
  } catch (error) {
    refuse(error);
    return;
  }
  find("failed").replaceChildren();
  jobs.push(id);
  if (jobs.length === 1) busy();
  state.textContent = `Job ${id} waits.`;
  follow(id, (name, said) => {
    if (name === "step") {
      find("progress").value = (said.picture - 1 + said.step / said.steps) / said.pictures;
      step(`Picture ${said.picture} of ${said.pictures}, step ${said.step} of ${said.steps}.`);
    } else if (name === "preview") {
      find("preview").src = `data:image/png;base64,${said.image}`;
      find("preview").hidden = false;
    } else if (name === "started") {
      state.textContent = said.stage === "load" ? "Loading…" : "Working…";
    } else if (name === "job" && ended(said)) {
      jobs.splice(jobs.indexOf(id), 1);
      busy();
      state.textContent = said.status === "done" ? "Done." : said.status === "cancelled" ? "Cancelled." : "Failed.";
      if (said.error) find("failed").append(finding("error", `Job ${id}: ${said.error.message}`, said.error.hint));
      find("made").prepend(...said.images.map(picture));
    }
  }, true);
}

function picture(image) {
  const row = made("li", "", "card");
  const link = made("a");
  const shown = made("img");
  link.href = `/pictures/${image.number}`;
  shown.src = new URL(image.url).pathname;
  shown.alt = `Picture ${image.number}`;
  shown.dataset.sha256 = image.sha256;
  link.append(shown);
  const again = made("a", "Make again", "button");
  again.href = `/combine?from=${image.number}`;
  row.append(link, made("p", `Seed ${image.seed}`, "facts"), again);
  return row;
}

/** Fill in the form; what is not said is as usual, but for a checkpoint. */
function begin(start) {
  find("prompt").value = start.prompt ?? "";
  find("negative").value = start.negative_prompt ?? "";
  find("auto").checked = start.auto_embeddings !== false;
  for (const kind of Object.keys(uses)) if (kind !== "checkpoint" || start.checkpoint) uses[kind].clear();
  for (const kind of ["checkpoint", "vae"]) if (start[kind]) uses[kind].set(start[kind], null);
  for (const [name, weight] of Object.entries(start.loras ?? {})) uses.lora.set(name, weight);
  for (const name of Object.keys(start.textual_inversions ?? {})) uses.embedding.set(name, null);
  for (const field of form.querySelectorAll("[data-option]")) {
    const value = start[field.dataset.option];
    if (field.dataset.type === "bool") field.checked = value === true;
    else field.value = value ?? "";
    if (field.tagName === "SELECT" && value && field.value !== String(value)) field.add(new Option(value, value, true, true));
  }
  for (const kind of Object.keys(uses)) show(kind);
  judge();
}

/** Begin with what a picture says, and keep what is told of that in sight until it is dismissed. */
function beginLike() {
  const like = find("told-of").querySelector("[data-start]");
  find("origin").hidden = false;
  find("origin").querySelector("details").open = true;
  find("told-of").querySelector("details")?.removeAttribute("open");
  if (!like) return;
  begin(JSON.parse(like.dataset.start));
  like.parentElement.remove();
  find("origin").querySelector("summary").focus();
  tell("The form is filled in.");
}

if (form) {
  const kept = sessionStorage.getItem("told");
  sessionStorage.removeItem("told");
  begin(JSON.parse(find("start").textContent));
  if (kept) {
    find("told-of").innerHTML = kept; // of a template, where all is escaped
    beginLike();
  }
  find("dismiss").addEventListener("click", () => {
    find("origin").hidden = true;
    find("prompt").focus();
  });
  dropping(form, null, async (files) => {
    find("origin").hidden = false;
    await lookInto(files[0]);
    beginLike();
  });
  form.addEventListener("input", (event) => { if (!event.target.id.startsWith("find-")) changed(); });
  find("said-of").addEventListener("change", () => judge());
  form.addEventListener("invalid", ({ target }) => { // which a browser cannot point at while it is folded away
    const fold = target.closest("details");
    if (fold) fold.open = true;
  }, true);
  form.addEventListener("submit", (event) => { event.preventDefault(); generate(); });
  find("cancel").addEventListener("click", () => { if (jobs.length) ask("DELETE", `/v1/jobs/${jobs[0]}`).catch(refuse); });
  for (const kind of Object.keys(uses)) {
    const details = document.querySelector(`[data-place="${kind}"] details`);
    let typing = 0;
    details.addEventListener("toggle", () => { if (details.open) offer(kind); });
    if (details.open) offer(kind);
    find(`find-${kind}`).addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => offer(kind), 200); });
    find(`find-${kind}`).addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
    find(`offered-${kind}`).addEventListener("click", (event) => {
      const button = event.target.closest("[data-choose]");
      if (button) choose(button);
    });
  }
}
