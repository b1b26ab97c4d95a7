/**
 * What the site does to a page that GitHub shows as it is: links between pages and into the sources work on both, and
 * Mermaid becomes a picture when the site is built, so that a reader's browser loads no program for it.
 */
import { existsSync, statSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { renderMermaidSVG } from 'beautiful-mermaid'
import type { MarkdownRenderer } from 'vitepress'

const DOCS = resolve(import.meta.dirname, '..')
const PROJECT = resolve(DOCS, '..')
/** The colours of a picture are the theme's: they change with it between light and dark. */
const COLOURS = {
  bg: 'var(--vp-c-bg)',
  fg: 'var(--vp-c-text-1)',
  line: 'var(--vp-c-text-3)',
  accent: 'var(--vp-c-brand-1)',
  muted: 'var(--vp-c-text-2)',
  surface: 'var(--vp-c-bg-soft)',
  border: 'var(--vp-c-border)',
  font: 'Inter', // which the theme brings
  transparent: true,
  padding: 8,
  layerSpacing: 28,
}
const SMALLEST_SCALE = 0.8

/** The anchor of a heading as GitHub makes it: a link to a heading works there and on the site. */
export function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M}\p{Pc} -]/gu, '')
    .replaceAll(' ', '-')
}

/**
 * Where a link of a page leads on the site.
 * @param href as it stands in the page, relative to it; absolute URLs and anchors stay as they are
 * @param page absolute path of the page's source
 * @param sources URL of the project's files, without a slash at its end
 */
export function linkOnSite(href: string, page: string, sources: string): string {
  if (/^([a-z]+:|#|\/)/.test(href)) return href
  const [path = '', ...anchor] = href.split(/(?=#)/)
  const file = resolve(dirname(page), decodeURI(path))
  const inDocs = relative(DOCS, file)
  if (inDocs.startsWith('..')) return `${sources}/${relative(PROJECT, file)}${anchor.join('')}`
  const isDirectory = existsSync(file) && statSync(file).isDirectory()
  const target = isDirectory ? `${inDocs}/` : inDocs.replace(/README\.md$/, '')
  return `/${target}${anchor.join('')}`
}

/** @param sources URL of the project's files, for links that leave `docs/` */
export function extendMarkdown(markdown: MarkdownRenderer, sources: string): void {
  markdown.core.ruler.push('links-on-site', ({ tokens, env }) => {
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.type === 'link_open' ? token.attrGet('href') : null
      if (href !== null) token.attrSet('href', linkOnSite(href, env.realPath ?? env.path, sources))
    }
  })
  const fence = markdown.renderer.rules.fence
  markdown.renderer.rules.fence = (tokens, index, options, env, self) => {
    const token = tokens[index]
    if (token?.info.trim() !== 'mermaid') return fence?.(tokens, index, options, env, self) ?? ''
    // Scrolls where it is wider than the page, by keyboard too. By v-html: Vue takes a <style> out of a template.
    const attributes = 'class="diagram" role="group" aria-label="Diagram" tabindex="0"'
    return `<div ${attributes} v-html="${escapeAttribute(JSON.stringify(pictureOf(token.content)))}"></div>\n`
  }
}

/**
 * Without the font that the renderer would load from another host: the picture has the one of the page. It shrinks to the
 * width of the page only so far that its letters can be read.
 */
function pictureOf(diagram: string): string {
  const picture = renderMermaidSVG(diagram, COLOURS).replaceAll(/@import url\([^)]*\);?/g, '')
  return picture.replace(/ width="([\d.]+)"(.*?) style="/, (_, width: string, between: string) => {
    const minWidthPx = Math.round(Number(width) * SMALLEST_SCALE)
    return ` width="${width}"${between} style="min-width:${minWidthPx}px;`
  })
}

function escapeAttribute(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
}
