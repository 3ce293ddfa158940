/**
 * What a person can mend about keys, certificates and the files that hold them. The message says what is wrong in plain words, the
 * hint what to do about it. Anything else that leaves src/pki is a defect of ours.
 */
export class PkiError extends Error {
  readonly hint: string | null;

  constructor(message: string, hint: string | null = null) {
    super(message);
    this.name = 'PkiError';
    this.hint = hint;
  }
}
