// What is shown on a ground that it cannot be told from well enough: text, which needs
// 4.5 to 1, and what is drawn or is the edge of a field, which needs 3 to 1.
(() => {
	const parse = text => {
		const n = text.match(/[\d.]+/g).map(Number);
		return { rgb: n.slice(0, 3), alpha: n.length > 3 ? n[3] : 1 };
	};
	const over = (top, below) => top.rgb.map((c, i) => c * top.alpha + below[i] * (1 - top.alpha));
	const luminance = rgb => {
		const [r, g, b] = rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const ratio = (a, b) => {
		const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
		return (high + 0.05) / (low + 0.05);
	};
	// The root's ground is the canvas, which the page has to have painted itself.
	const ground = element => {
		const layers = [];
		for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
		return layers.reverse().reduce((below, top) => over(top, below), [255, 0, 255]);
	};
	const low = [];
	let checked = 0;
	const check = (what, colour, below, least) => {
		checked++;
		const found = ratio(over(parse(colour), below), below);
		if (found < least) low.push(`${found.toFixed(2)} of ${least}: ${what}`);
	};
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let text = texts.nextNode(); text; text = texts.nextNode()) {
		const range = document.createRange();
		range.selectNodeContents(text);
		if (!text.data.trim() || !range.getClientRects().length) continue;
		const style = getComputedStyle(text.parentElement);
		check(`${text.parentElement.tagName} ${text.data.trim().slice(0, 40)}`, style.color, ground(text.parentElement), 4.5);
	}
	for (const shape of document.querySelectorAll("svg rect:not(.track)")) {
		check(`rect ${shape.getAttribute("class")}`, getComputedStyle(shape).fill, ground(shape.closest("svg")), 3);
	}
	for (const field of document.querySelectorAll("input, textarea")) {
		check(`edge of ${field.id}`, getComputedStyle(field).borderTopColor, ground(field.parentElement), 3);
	}
	return { low, checked, dark: luminance(ground(document.body)) < 0.2 };
})()
