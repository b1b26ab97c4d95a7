/** A question: what is measured, what is promised about it, and how it is shown. Each file of this directory answers one. */
import type { Measure } from './measures.ts'

/** How much of it. A smoke run only shows that everything still works; its figures mean nothing. */
export interface Context {
  readonly smoke: boolean
  /** Of each case; the cases take turns. */
  readonly rounds: number
  /** Of load in one round. */
  readonly seconds: number
}

/** What was measured of one case: a figure for each round, in order. */
export interface Series {
  /** Who or what: a server, a way to do it. */
  readonly subject: string
  readonly measure: Measure
  readonly rounds: readonly number[]
}

/** How something went on over time. */
export interface Curve {
  readonly subject: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface Measured {
  readonly series: readonly Series[]
  readonly curves?: readonly Curve[]
  /** Who was not measured, why, and how to get it. */
  readonly skipped?: readonly { readonly subject: string; readonly reason: string }[]
  /** What a reader has to know of this run. */
  readonly remarks?: readonly string[]
  /** Who was measured and what its answer promises. */
  readonly contenders?: readonly Contender[]
}

export interface Contender {
  readonly name: string
  readonly title: string
  readonly version: string
  readonly durability: string
}

/** Something that should hold. With `to` it is about the ratio of the two, round by round. */
export interface Target {
  /** Of the note about it in notes.ts. */
  readonly key: string
  readonly measure: Measure
  readonly of: string
  readonly to?: string
  readonly bound: { readonly atLeast: number } | { readonly atMost: number }
}

export type Plot =
  /** A bar for each subject of the measure. */
  | {
      readonly kind: 'bars'
      readonly name: string
      readonly title: string
      readonly measure: Measure
      readonly logarithmic?: boolean
      /** Which subjects; default: all. */
      readonly only?: RegExp
    }
  /** A line for each curve. */
  | { readonly kind: 'lines'; readonly name: string; readonly title: string; readonly x: string; readonly y: string }

export interface Question {
  readonly name: string
  readonly title: string
  /** What is done and what stays the same for all, in Markdown. */
  readonly how: string
  readonly targets: readonly Target[]
  readonly plots: readonly Plot[]
  run(context: Context): Promise<Measured>
}
