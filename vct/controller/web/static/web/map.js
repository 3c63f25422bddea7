// The map: draws the NetJSON of /map/network.json with Cytoscape.js and keeps it current.
// Texts of the testbed get to the page as text only: textContent, and labels on a canvas.
"use strict";

(() => {
  const EVERY_MS = 5000;
  const area = document.getElementById("network");
  const news = document.getElementById("map-news");
  const details = document.getElementById("details");
  const rows = document.getElementById("network-rows");
  const css = getComputedStyle(document.documentElement);
  let layout = "";
  let selected = null;

  const colour = (state) => css.getPropertyValue(`--state-${state}`).trim() || "#6b7075";
  const text = () => getComputedStyle(document.body).color;
  const halo = { "text-background-color": css.getPropertyValue("--darkened-bg").trim() || "#f8f8f8", "text-background-opacity": 0.8, "text-background-padding": 1 };

  const graph = cytoscape({
    container: area,
    maxZoom: 3,
    style: [
      { selector: "node", style: { label: "data(label)", "background-color": "data(colour)", color: text(), ...halo, "font-size": 13, "text-valign": "bottom", "text-margin-y": 4, width: 34, height: 34 } },
      { selector: "edge", style: { width: 3, "line-color": "#8a8f94", "curve-style": "bezier", label: "data(label)", color: text(), ...halo, "font-size": 11, "text-rotation": "autorotate" } },
      { selector: "edge[segment]", style: { "line-style": "dashed" } },
      { selector: ":selected", style: { "border-width": 4, "border-color": "#f5a623", "line-color": "#f5a623" } },
    ],
  });

  const words = (properties) => Object.entries(properties).filter(([name]) => name !== "segment").map(([, value]) => value).join(" ") || properties.segment || "";

  function elements(network) {
    const nodes = network.nodes.map((node) => ({
      group: "nodes",
      data: { id: node.id, label: node.label, colour: colour(node.properties.state), about: node.properties },
    }));
    const links = network.links.map((link, index) => ({
      group: "edges",
      data: { id: `link ${index} ${link.source} ${link.target}`, source: link.source, target: link.target, label: words(link.properties), segment: link.properties.segment },
    }));
    return nodes.concat(links);
  }

  function show(network) {
    const wanted = new Map(elements(network).map((one) => [one.data.id, one]));
    const gone = graph.elements().filter((one) => !wanted.has(one.id()));
    const fresh = [...wanted.values()].filter((one) => graph.getElementById(one.data.id).empty());
    graph.batch(() => {
      gone.remove();
      wanted.forEach((one) => graph.getElementById(one.data.id).data(one.data));
      graph.add(fresh);
    });
    if (gone.nonempty() || fresh.length) arrange(layout || (someLocation() ? "position" : "links"));
    table(network);
    describe();
  }

  const someLocation = () => graph.nodes().some((node) => node.data("about").location);

  // Equirectangular, which is true enough for the size of a testbed. Nodes without a position
  // stand in a row below the others.
  function positions() {
    const placed = graph.nodes().filter((node) => node.data("about").location);
    const places = placed.map((node) => node.data("about").location);
    const middle = places.reduce((sum, place) => sum + place.lat, 0) / (places.length || 1);
    const squeeze = Math.cos((middle * Math.PI) / 180) || 1;
    const spots = new Map(placed.map((node) => {
      const place = node.data("about").location;
      return [node.id(), { x: place.lng * squeeze, y: -place.lat }];
    }));
    const xs = [...spots.values()].map((spot) => spot.x);
    const ys = [...spots.values()].map((spot) => spot.y);
    const left = Math.min(...xs), top = Math.min(...ys);
    const wide = Math.max(...xs) - left || 1e-9, high = Math.max(...ys) - top || 1e-9;
    const scale = Math.min((area.clientWidth - 200) / wide, (area.clientHeight - 140) / high, 1e9);
    spots.forEach((spot) => { spot.x = (spot.x - left) * scale; spot.y = (spot.y - top) * scale; });
    const below = spots.size ? (Math.max(...ys) - top) * scale + 120 : 0;
    graph.nodes().difference(placed).forEach((node, index) => {
      spots.set(node.id(), { x: index * 110, y: below });
    });
    return spots;
  }

  function arrange(how) {
    layout = how;
    const sizes = { fit: true, padding: 50, animate: false };
    if (how === "position") {
      const spots = positions();
      graph.layout({ name: "preset", positions: (node) => spots.get(node.id()), ...sizes }).run();
    } else {
      graph.layout({ name: "circle", ...sizes }).run();
      if (graph.edges().nonempty()) {
        graph.layout({ name: "cose", randomize: false, ...sizes }).run();
        spread();
      }
    }
    if (graph.zoom() > 1.2) {
      graph.zoom(1.2);
      graph.center();
    }
  }

  // The layout's own lengths are too short for names beside the nodes.
  function spread() {
    const LENGTH = 190;
    const lengths = graph.edges().map((edge) => {
      const from = edge.source().position(), to = edge.target().position();
      return Math.hypot(from.x - to.x, from.y - to.y);
    });
    const stretch = LENGTH / (lengths.reduce((sum, length) => sum + length, 0) / lengths.length || 1);
    graph.nodes().positions((node) => ({ x: node.position("x") * stretch, y: node.position("y") * stretch }));
    graph.fit(undefined, 60);
  }

  function table(network) {
    const names = new Map(network.nodes.map((node) => [node.id, node.label]));
    const linked = new Map(network.nodes.map((node) => [node.id, []]));
    network.links.forEach((link) => {
      linked.get(link.source)?.push(names.get(link.target));
      linked.get(link.target)?.push(names.get(link.source));
    });
    rows.replaceChildren(...network.nodes.map((node) => {
      const row = document.createElement("tr");
      [node.id, node.label, node.properties.state, linked.get(node.id).join(", ")].forEach((cell) => {
        row.insertCell().textContent = cell;
      });
      return row;
    }));
  }

  function describe() {
    const node = selected && graph.getElementById(selected);
    details.hidden = !node || node.empty();
    if (details.hidden) return;
    const about = node.data("about");
    document.getElementById("details-name").textContent = node.data("label");
    document.getElementById("details-page").setAttribute("href", about.page);
    const facts = { Id: node.id(), State: `${about.state}: ${about.sentence}`, "Told to be": about.set_state, Architecture: about.arch, Group: about.group, Slivers: about.slivers };
    document.getElementById("details-list").replaceChildren(...Object.entries(facts).flatMap(([name, value]) => {
      const term = document.createElement("dt"), fact = document.createElement("dd");
      term.textContent = name;
      fact.textContent = value;
      return [term, fact];
    }));
  }

  async function refresh() {
    if (!document.hidden) {
      try {
        const answer = await fetch(area.dataset.source, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(4 * EVERY_MS) });
        if (!answer.ok) throw new Error(`the controller answered ${answer.status}`);
        const network = await answer.json();
        show(network);
        news.textContent = `${network.nodes.length} nodes, ${network.links.length} links, as of ${new Date().toLocaleTimeString()}`;
        news.className = "";
      } catch (error) {
        news.textContent = `What is shown is old: ${error.message}`;
        news.className = "old";
      }
    }
    setTimeout(refresh, EVERY_MS);
  }

  graph.on("tap", (event) => {
    selected = event.target !== graph && event.target.isNode() ? event.target.id() : null;
    describe();
  });
  document.getElementById("by-position").addEventListener("click", () => arrange("position"));
  document.getElementById("by-links").addEventListener("click", () => arrange("links"));
  refresh();
})();
