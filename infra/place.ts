/** Account and region of each stack: those that `config.ts` names first, or those of an environment. */
import type { Account, Environment } from './environment.ts'

/** An account as its stacks see it: `id` and `region` are where their resources are. */
export interface Place extends Account {
  /** Where the state of the account is, and its key. */
  readonly stateRegion: string
  /** One image repository for all: what was tested in one account is what runs in the next. */
  readonly images: { readonly id: string; readonly region: string }
}

/** Of an environment; without one, of the bootstrap of the first account. */
export function placeOf(account: Account, environment?: Environment): Place {
  const home = homeOf(account, environment)
  return { ...home, region: environment?.region ?? home.region }
}

/** Each account with its environments, in the order of `config.ts`: one bootstrap each. */
export function accountsOf(
  account: Account,
  environments: readonly Environment[],
): readonly { readonly place: Place; readonly environments: readonly Environment[] }[] {
  const homes = [homeOf(account), ...environments.map((environment) => homeOf(account, environment))]
  return [...new Map(homes.toReversed().map((place) => [place.id, place])).values()].toReversed().map((place) => ({
    place,
    environments: environments.filter((environment) => homeOf(account, environment).id === place.id),
  }))
}

function homeOf(account: Account, { account: other }: Partial<Environment> = {}): Place {
  const { id, region } = account
  if (other === undefined || other.id === id) return { ...account, stateRegion: region, images: { id, region } }
  const { oidcProvider = 'make', ...values } = other
  const github = { ...account.github, oidcProvider }
  return { ...account, ...values, github, stateRegion: other.region, images: { id, region } }
}
