/** `llms.txt` (llmstxt.org): the site's pages with their first sentence, and `llms-full.txt`: their text in one file. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SiteConfig } from 'vitepress'

/** Runs at the end of a build; links are relative to the host, with the base that the site is built for. */
export function writeLlmsText({ srcDir, outDir, pages, rewrites, site }: SiteConfig): void {
  const texts = pages.map((page) => {
    const text = readFileSync(join(srcDir, page), 'utf8')
    const url = (rewrites.map[page] ?? page).replace(/(index)?\.md$/, '')
    return { page, url: site.base + url, text, title: titleOf(text), summary: summaryOf(text) }
  })
  const [decisions, others] = [true, false].map((isDecision) =>
    texts.filter(({ page }) => page.startsWith('decisions/') === isDecision),
  )
  const list = (part: typeof texts = []) => part.map(({ title, url, summary }) => `- [${title}](${url}): ${summary}`)
  const index = [`# ${site.title}`, '', `> ${site.description}`, '', '## Pages', '', ...list(others)]
  writeFileSync(join(outDir, 'llms.txt'), [...index, '', '## Optional', '', ...list(decisions), ''].join('\n'))
  const full = (others ?? []).map(({ url, text }) => `<!-- ${url} -->\n${text}`)
  writeFileSync(join(outDir, 'llms-full.txt'), full.join('\n'))
}

function titleOf(text: string): string {
  return /^# (.+)$/m.exec(text)?.[1] ?? ''
}

/** The first sentence of the first paragraph that has one, without links and marks. */
function summaryOf(text: string): string {
  const paragraph = text.split(/\n\s*\n/).find((part) => /^[\p{L}\d`*[]/u.test(part) && part.length > 40) ?? ''
  const plain = paragraph.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll(/[*`]/g, '')
  return plain.replaceAll(/\s+/g, ' ').replace(/^(.{30,}?)[.:]( .*|$)/, '$1.')
}
