// On a phone the panels of a figure stand below each other. Each is a view of a part of the same picture: nothing is
// drawn, or loaded, twice. `book.js` fetches this where the window is narrow; what is wide again shows the picture.
{
    const SVG = "http://www.w3.org/2000/svg";
    const AROUND = 4; // points: strokes and markers reach beyond what they mark
    const SLIM = 40; // points: narrower than any panel, as the scale of colours beside one is

    const joined = (boxes) => ({
        left: Math.min(...boxes.map((box) => box.left)),
        right: Math.max(...boxes.map((box) => box.right)),
        top: Math.min(...boxes.map((box) => box.top)),
        bottom: Math.max(...boxes.map((box) => box.bottom)),
    });
    const padded = ({ left, right, top, bottom }) => ({ left: left - AROUND, right: right + AROUND, top: top - AROUND, bottom: bottom + AROUND });
    const beside = (a, b) => a.top < b.bottom && b.top < a.bottom && (a.right <= b.left || b.right <= a.left);
    const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

    // A part of the picture that shows some of its groups; of others it shows copies, moved to the right by so much.
    const view = (groups, { left, right, top, bottom }, others = [], by = 0) => {
        const svg = document.createElementNS(SVG, "svg");
        svg.setAttribute("viewBox", `${left} ${top} ${right - left} ${bottom - top}`);
        svg.style.width = `${right - left}pt`;
        for (const group of [...groups, ...others]) {
            const use = document.createElementNS(SVG, "use");
            use.setAttribute("href", `#${group.id}`);
            if (others.includes(group)) use.setAttribute("x", by);
            svg.append(use);
        }
        return svg;
    };

    const panels = (picture) => {
        const whole = picture.getBoundingClientRect();
        const scale = picture.viewBox.baseVal.width / whole.width;
        const place = (element) => {
            const { left, right, top, bottom } = element.getBoundingClientRect();
            return { left: (left - whole.left) * scale, right: (right - whole.left) * scale, top: (top - whole.top) * scale, bottom: (bottom - whole.top) * scale };
        };
        const parts = [...picture.querySelector(':scope > g[id$="figure_1"]').children];
        const named = (name) => parts.filter((part) => part.id.includes(`-${name}_`));
        const found = [];
        for (const axes of named("axes")) {
            const frame = place(axes.firstElementChild);
            const words = [...axes.querySelectorAll("text")];
            const one = { groups: [axes], frame, box: joined([frame, ...words.map(place)]) };
            // The numbers at its left, with what they are of.
            const scale = axes.querySelectorAll(':scope > g[id*="matplotlib.axis"]')[1];
            one.numbers = [...(scale?.querySelectorAll('g[id*="-text_"]') ?? [])];
            const host = found.findLast((other) => overlap(other.frame, frame) || frame.right - frame.left < SLIM);
            if (host) Object.assign(host, { groups: [...host.groups, axes], box: joined([host.box, one.box]) });
            else found.push(one);
        }
        if (!found.some((a) => found.some((b) => beside(a.frame, b.frame)))) return null;
        const views = [];
        const loose = [...named("legend").flatMap(entries), ...named("text").map((part) => [part])];
        const outside = loose.map((groups) => ({ groups, box: joined(groups.map(place)) }));
        const first = Math.min(...found.map(({ box }) => box.top));
        for (const { groups, box } of outside.filter(({ box }) => box.top < first)) views.push(view(groups, padded(box)));
        for (const panel of found) {
            const near = (a, b) => Math.abs(a - b) < 1;
            const same = (other) => near(other.frame.top, panel.frame.top) && near(other.frame.bottom, panel.frame.bottom);
            const scaled = found.find((other) => other.numbers.length && other.frame.right <= panel.frame.left && same(other));
            if (panel.numbers.length || !scaled) views.push(view(panel.groups, padded(panel.box)));
            else {
                // The numbers at the left of its row are its own, too.
                const by = panel.frame.left - scaled.frame.left;
                const moved = scaled.numbers.map(place).map((box) => ({ ...box, left: box.left + by, right: box.right + by }));
                views.push(view(panel.groups, padded(joined([panel.box, ...moved])), scaled.numbers, by));
            }
        }
        for (const { groups, box } of outside.filter(({ box }) => box.top >= first)) views.push(view(groups, padded(box)));
        return views;
    };

    // Of a legend each sample with its words; its frame is none.
    const entries = (legend) => {
        const found = [];
        let members = [];
        for (const part of legend.children) {
            const words = part.id.includes("-text_");
            const frame = part.id.includes("-patch_") && !part.nextElementSibling?.id.includes("-text_");
            if (!frame) members.push(part);
            if (!words) continue;
            found.push(members);
            members = [];
        }
        return found;
    };

    const stackAll = () => {
        if (!matchMedia("(max-width: 600px)").matches) return;
        let some = false;
        for (const picture of document.querySelectorAll('.act-figure:not(:has(.act-movable)) > .act-scroll:not(.act-stacked) > svg[role="img"]')) {
            if (!picture.getBoundingClientRect().width) continue; // folded away
            const views = panels(picture);
            if (!views) continue;
            const box = Object.assign(document.createElement("div"), { className: "act-panels", ariaHidden: "true" });
            const order = document.createElement("p");
            order.textContent = "Left to right is top to bottom here.";
            box.append(...views, order);
            picture.after(box);
            picture.parentElement.classList.add("act-stacked");
            some = true;
        }
        if (some) window.dispatchEvent(new Event("resize"));
    };
    window.addEventListener("resize", stackAll);
    stackAll();
}
