// What is wrong with a page, as axe and its kin look for it.
() => {
  const wrong = [];
  const seen = (e) => e.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true});
  const named = (e) => (e.labels?.length && [...e.labels].some(l => l.textContent.trim())) || e.getAttribute('aria-label')
    || (e.getAttribute('aria-labelledby') && document.getElementById(e.getAttribute('aria-labelledby'))?.textContent.trim());
  if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
  if (!document.documentElement.lang || !document.title.trim()) wrong.push('no language or title');
  if (document.querySelectorAll('main').length !== 1) wrong.push('not one main');
  const levels = [...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]));
  levels.forEach((level, n) => { if (n && level > levels[n - 1] + 1) wrong.push('a level of headings is left out'); });
  for (const e of document.querySelectorAll('input,select,textarea,progress')) if (!named(e)) wrong.push(`no label: ${e.outerHTML}`);
  for (const e of document.querySelectorAll('button,a,summary')) if (!(e.textContent.trim() || e.getAttribute('aria-label') || e.querySelector('img')?.alt)) wrong.push(`no name: ${e.outerHTML}`);
  for (const e of document.querySelectorAll('img')) if (!e.hasAttribute('alt')) wrong.push(`no alt: ${e.outerHTML}`);
  for (const e of document.querySelectorAll('[tabindex]')) if (e.tabIndex > 0) wrong.push(`tabindex: ${e.outerHTML}`);
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  if (new Set(ids).size !== ids.length) wrong.push('an id twice: ' + ids.filter((id, n) => ids.indexOf(id) !== n));
  for (const e of document.querySelectorAll('[aria-describedby],[aria-labelledby]'))
    for (const id of `${e.getAttribute('aria-describedby') ?? ''} ${e.getAttribute('aria-labelledby') ?? ''}`.trim().split(/\s+/))
      if (!document.getElementById(id)) wrong.push(`leads nowhere: ${id}`);
  const rgb = (text) => (text.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] === undefined || c[3] > 0) return c; } return [255, 255, 255]; };
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const e = words.currentNode.parentElement;
    if (!words.currentNode.textContent.trim() || !seen(e) || e.closest('.hidden,script,style,template,option')) continue;
    const [one, other] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) wrong.push(`contrast ${contrast.toFixed(2)}: ${words.currentNode.textContent.trim().slice(0, 60)}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) wrong.push(`wider than the screen: ${document.documentElement.scrollWidth} > ${innerWidth}: `
    + [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 3).map(e => e.outerHTML.slice(0, 100)));
  return wrong;
}
