/**
 * The documentation as a site: `npm run docs:dev` shows it while it is written, `npm run docs:build` makes
 * `docs/.vitepress/dist`. The pages stay where they are; this names their order. A dead link ends the build.
 * SITE_BASE: path that the site is served under, with slashes at both ends; default `/`.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type DefaultTheme, defineConfig } from 'vitepress'
import { account } from '../../infra/config.ts'
import { writeLlmsText } from './llms.ts'
import { anchorOf, extendMarkdown } from './markdown.ts'

const BASE = process.env.SITE_BASE || '/'
const DOCS = resolve(import.meta.dirname, '..')
const { owner, repository } = account.github
const REPOSITORY = `https://github.com/${process.env.GITHUB_REPOSITORY || `${owner}/${repository}`}`
const SOURCES = `${REPOSITORY}/blob/main`

/** Pages of the sidebar by their file, without `.md`; each is called as its first heading says. */
const SECTIONS = {
  Start: ['README', 'first-hour', 'project', 'concepts'],
  Send: ['send', 'client', 'hooks'],
  Process: ['handlers', 'routes'],
  Destinations: [
    'destinations/README',
    'destinations/file',
    'destinations/stdout',
    'destinations/http',
    'destinations/s3',
    'destinations/postgres',
    'destinations/own',
  ],
  Deploy: ['container', 'image', 'infrastructure', 'runbooks/deploy', 'runbooks/ansible', 'scaling', 'real-account'],
  Operate: ['operate', 'threat-model', 'runbooks/README'],
  Reference: [
    'reference/variables',
    'metrics',
    'reference/http',
    'reference/command-line',
    'reference/config-file',
    'channel',
  ],
  Project: ['benchmarks', 'how-to-change', 'decisions/README'],
} as const satisfies Record<string, readonly string[]>

function itemOf(page: string): DefaultTheme.SidebarItem {
  const text = titleOf(page)
  const link = `/${page.replace(/README$/, '')}`
  const directory = /^(runbooks|decisions)\/README$/.exec(page)?.[1]
  if (directory === undefined) return { text, link }
  const shown = new Set(Object.values(SECTIONS).flat() as string[])
  const others = readdirSync(join(DOCS, directory))
    .map((file) => `${directory}/${file.replace(/\.md$/, '')}`)
    .filter((other) => !shown.has(other))
  return { text, link, collapsed: true, items: others.sort().map(itemOf) }
}

function titleOf(page: string): string {
  const title = /^# (.+)$/m.exec(readFileSync(join(DOCS, `${page}.md`), 'utf8'))?.[1]
  if (title === undefined) throw new Error(`docs/${page}.md has no first heading: start it with "# Title"`)
  return title.replaceAll('`', '')
}

export default defineConfig({
  title: 'Millrace',
  description: 'An event pipeline that you can deploy: HTTP in, durable when answered, delivered at least once.',
  base: BASE,
  head: [['link', { rel: 'icon', type: 'image/svg+xml', href: `${BASE}icon.svg` }]],
  cleanUrls: true,
  rewrites: { 'README.md': 'index.md', ':directory/README.md': ':directory/index.md' },
  ignoreDeadLinks: 'localhostLinks',
  markdown: {
    // Comments have enough contrast in these (WCAG AA).
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    anchor: { slugify: anchorOf },
    languageAlias: { promql: 'sql' },
    config: (markdown) => extendMarkdown(markdown, SOURCES),
  },
  themeConfig: {
    logo: '/icon.svg',
    search: { provider: 'local' },
    sidebar: Object.entries(SECTIONS).map(([text, pages]) => ({ text, items: pages.map(itemOf) })),
    nav: [
      { text: 'Start', link: '/first-hour' },
      { text: 'Concepts', link: '/concepts' },
      { text: 'Reference', link: '/reference/variables' },
      { text: 'Runbooks', link: '/runbooks/' },
    ],
    outline: 2,
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    editLink: { pattern: `${REPOSITORY}/edit/main/docs/:path`, text: 'Edit this page' },
  },
  buildEnd: writeLlmsText,
})
