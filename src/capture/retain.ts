/** What is kept of a capture that is written for long: the oldest runs go when there is more. At least one is given. */
export interface Retain {
  /** So many runs. */
  runs?: number;
  /** So many bytes of the file that hold something. */
  bytes?: number;
  /** Runs that ended within this time. */
  ageMs?: number;
}
