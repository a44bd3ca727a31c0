"use strict";
// Lists the loads and follows one: the server draws it, once a second, and sends the picture over one stream.
(() => {
  const AGAIN = 1000, LIST_EVERY = 3000; // milliseconds
  const at = (id) => document.getElementById(id);
  const door = at("door"), word = at("word"), table = at("loads"), picture = at("picture");
  let followed = "", following = null, next = 0;

  const say = (words) => { if (word.textContent !== words) word.textContent = words; };
  const ask = (path, more = {}) => {
    const headers = { Authorization: `Bearer ${sessionStorage.getItem("token") ?? ""}`, ...more.headers };
    return fetch(`/api/v1${path}`, { ...more, headers });
  };
  const wait = (time) => new Promise((done) => setTimeout(done, time));

  // The data of server-sent events, one after the other.
  async function* events(answer) {
    let rest = "";
    for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const frames = (rest + value).split("\n\n");
      rest = frames.pop();
      for (const frame of frames) {
        const data = frame.split("\n").find((line) => line.startsWith("data: "));
        if (data) yield JSON.parse(data.slice(6));
      }
    }
  }

  const show = (told) => {
    picture.innerHTML = told.html;
    document.dispatchEvent(new Event("redrawn"));
  };

  const follow = async (path, stop) => {
    for (let over = false; !over && !stop.signal.aborted;) {
      try {
        const answer = await ask(`/loads/${path}`, { headers: { Accept: "text/event-stream" }, signal: stop.signal });
        if (!answer.ok) throw new Error((await answer.json()).detail);
        for await (const told of events(answer)) {
          show(told);
          over = told.over;
        }
      } catch (error) {
        if (stop.signal.aborted) return;
        say(`The picture stands still: ${error.message}`);
      }
      if (!over) await wait(AGAIN);
    }
  };

  const choose = (loads) => {
    const wanted = decodeURI(location.hash.slice(1));
    const chosen = loads.find((load) => load.place === wanted) ?? loads.find((load) => load.running) ?? loads.at(-1);
    for (const row of table.tBodies[0].rows) row.toggleAttribute("aria-current", row.dataset.place === chosen?.place);
    const path = chosen?.path ?? "";
    if (path === followed) return;
    following?.abort();
    followed = path;
    picture.replaceChildren();
    if (path) follow(path, (following = new AbortController()));
  };

  const row = (load) => {
    const made = document.createElement("tr"), link = document.createElement("a"), head = document.createElement("th");
    made.dataset.place = load.place;
    head.scope = "row";
    link.href = `#${encodeURI(load.place)}`;
    link.textContent = load.task;
    head.append(link);
    made.append(head);
    for (const words of [load.deployment, load.node, load.state, load.attempt, load.reason]) made.insertCell().textContent = words;
    made.cells[4].className = "n";
    return made;
  };

  const list = async () => {
    const answer = await ask("/loads");
    door.hidden = answer.status !== 401 && answer.status !== 403;
    if (!answer.ok) {
      say((await answer.json()).detail);
      return;
    }
    const loads = (await answer.json()).items.map((load) => {
      const parts = [load.deployment, load.node, load.task];
      return { ...load, running: load.state === "transition", place: parts.join("/"), path: `${parts.map(encodeURIComponent).join("/")}/picture?attempt=${Math.max(load.attempt, 1)}` };
    });
    const had = table.contains(document.activeElement) && document.activeElement.hash;
    table.tBodies[0].replaceChildren(...loads.map(row));
    if (had) [...table.querySelectorAll("a")].find((link) => link.hash === had)?.focus();
    table.hidden = !loads.length;
    say(loads.length ? "" : "No deployment has a load yet: a task with the jig load.");
    choose(loads);
  };

  const look = async () => {
    clearTimeout(next);
    try {
      await list();
    } catch (error) {
      say(`The server does not answer: ${error.message}`);
    }
    next = setTimeout(look, LIST_EVERY);
  };

  door.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", at("token").value.trim());
    at("token").value = "";
    look();
  });
  addEventListener("hashchange", look);
  look();
})();
