/** Why the proxy cannot start with a primary; `hint` says what to do. */
export class ContactError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = 'ContactError';
    this.hint = hint;
  }
}
