import { describe, expect, test } from 'vitest';
import { parseAccessLog } from './access-log.ts';

const verdict = (ms: number, path: string, from: string) =>
  `verdict\t2026-01-02T03:04:05.${String(ms).padStart(3, '0')}Z\tRequest to '${path}' from '${from}' handled by rule 'r' - request allowed`;
const answer = (ms: number, took: number, session: string, head: string, status = 200) =>
  `answer\t2026-01-02T03:04:05.${String(ms).padStart(3, '0')}Z\t${took}\t${session}\t${head} HTTP/1.1\t${status}\tPuppet/7`;

describe('the access log of a lab primary', () => {
  test('names who asked, also where the verdict has the path decoded and the answer has it as sent', () => {
    const lines = [
      verdict(10, '/puppet/v3/file_content/m/a b+c&d', 'one.lab(127.0.0.1)'),
      answer(20, 10, 'AA', 'GET /puppet/v3/file_content/m/a%20b+c&d?environment=e'),
      verdict(30, '/puppet-ca/v1/certificate/ca', '127.0.0.1'),
      answer(31, 1, 'BB', 'GET /puppet-ca/v1/certificate/ca'),
    ];
    expect(parseAccessLog(lines).map(line => [line.user, line.session, line.target, line.status])).toEqual([
      ['one.lab', 'aa', '/puppet/v3/file_content/m/a%20b+c&d?environment=e', 200],
      [null, 'bb', '/puppet-ca/v1/certificate/ca', 200],
    ]);
  });

  test('tells two agents apart that ask the same at the same time, by what each alone asked', () => {
    const lines = [
      verdict(10, '/puppet/v3/file_metadatas/plugins', 'one.lab(127.0.0.1)'),
      verdict(11, '/puppet/v3/file_metadatas/plugins', 'two.lab(127.0.0.1)'),
      answer(20, 10, 'bb', 'GET /puppet/v3/file_metadatas/plugins'),
      answer(21, 10, 'aa', 'GET /puppet/v3/file_metadatas/plugins'),
      verdict(30, '/puppet/v3/catalog/two.lab', 'two.lab(127.0.0.1)'),
      answer(40, 10, 'bb', 'POST /puppet/v3/catalog/two.lab'),
      verdict(41, '/puppet/v3/catalog/one.lab', 'one.lab(127.0.0.1)'),
      answer(50, 9, 'aa', 'POST /puppet/v3/catalog/one.lab'),
    ];
    expect(parseAccessLog(lines).map(line => line.user)).toEqual(['two.lab', 'one.lab', 'two.lab', 'one.lab']);
  });

  test('fails rather than guess, and when one connection is used by two certnames', () => {
    const both = [
      verdict(10, '/x', 'one.lab(127.0.0.1)'),
      verdict(11, '/x', 'two.lab(127.0.0.1)'),
      answer(20, 10, 'aa', 'GET /x'),
    ];
    expect(() => parseAccessLog(both)).toThrow('it cannot be told which of one.lab, two.lab asked');
    const mixed = [
      verdict(10, '/x', 'one.lab(127.0.0.1)'),
      answer(20, 10, 'aa', 'GET /x'),
      verdict(300, '/y', 'two.lab(127.0.0.1)'),
      answer(310, 10, 'aa', 'GET /y'),
    ];
    expect(() => parseAccessLog(mixed)).toThrow('made by different certnames');
    expect(() => parseAccessLog(['something else'])).toThrow('not understood');
  });
});
