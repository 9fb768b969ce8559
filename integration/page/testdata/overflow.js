// What makes the page wider than the window. What scrolls by itself does not.
(() => {
	const width = document.documentElement.clientWidth;
	if (document.documentElement.scrollWidth <= width) return [];
	const wide = [...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > width + 0.5);
	return wide.map(e => `${e.tagName} ${e.className}`).concat("the page");
})()
