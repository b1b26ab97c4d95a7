/**
 * Written by hand, for targets that are missed: where the time goes by the profile, what was tried, why it stays. The page has each
 * below its table. By the key of the target.
 */
export const NOTES: Readonly<Record<string, string>> = {}
