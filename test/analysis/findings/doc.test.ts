import { expect, test } from 'vitest';
import { SEVERITIES } from '../../../src/analysis/findings/finding.ts';
import { RULES } from '../../../src/analysis/findings/registry.ts';
import { findingsPage, writtenPage } from './doc.ts';

test('docs/findings.md is what the rules say (npm run docs:findings writes it)', () => {
  expect(writtenPage()).toBe(findingsPage());
});

test('every rule says everything, in one line each', () => {
  expect(new Set(RULES.map(rule => rule.id)).size).toBe(RULES.length);
  for (const rule of RULES) {
    expect(rule.id).toMatch(/^[a-z]+(-[a-z]+)+$|^uncompressed$/);
    expect(rule.severities.length).toBeGreaterThan(0);
    expect([...rule.severities].sort((a, b) => SEVERITIES.indexOf(a) - SEVERITIES.indexOf(b))).toEqual(rule.severities);
    for (const text of [rule.title, rule.meaning, rule.fix, rule.threshold]) {
      expect(text).toMatch(/^\S.*\S$/);
      expect(text).not.toContain('undefined');
    }
    for (const text of [rule.title, rule.fix, rule.threshold]) expect(text).not.toMatch(/\.$/);
    expect(rule.page).toMatch(/^https:\/\/www\.puppet\.com\/docs\/puppet\/8\/[\w./-]+(#[\w-]+)?$/);
  }
});
