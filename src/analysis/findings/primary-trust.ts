import { explainFailure, type TlsCause, type TlsFailure } from '../tls-failures.ts';
import type { ExchangeFact, RunFacts } from './facts.ts';

/** Exchanges that failed for one of these reasons of TLS, with the words for the first. */
export function tlsFailures(
  run: RunFacts,
  wanted: (cause: TlsCause) => boolean,
): { failed: ExchangeFact[]; words: TlsFailure; detail: string } | null {
  const failed = run.exchanges.filter(one => {
    const words = explainFailure(one.failure);
    return words !== null && wanted(words.cause);
  });
  const [first] = failed;
  const words = first === undefined ? null : explainFailure(first.failure);
  if (first === undefined || words === null) return null;
  return { failed, words, detail: detailOf(first) };
}

function detailOf({ failure }: ExchangeFact): string {
  switch (failure?.reason) {
    case 'certificate-refused':
    case 'primary-untrusted':
    case 'internal':
      return failure.detail;
    case 'primary-rejected-identity':
      return failure.alert;
    case 'primary-unreachable':
      return failure.code;
    default:
      return '';
  }
}
