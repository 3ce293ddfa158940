import { describe, expect, test } from 'vitest';
import { findInText } from '../../src/commands/run-command.ts';

describe('puppet in the text of a shell', () => {
  test.each([
    ['puppet agent --test --config /a/b.conf', ['--test', '--config', '/a/b.conf']],
    ['puppet agent --test --config /a/b.conf; echo $?', ['--test', '--config', '/a/b.conf']],
    ['cd /;puppet agent --test&&echo done', ['--test']],
    ['(puppet agent --config /a/b.conf)', ['--config', '/a/b.conf']],
    ["puppet agent --config '/a b/c.conf' --test | tee log", ['--config', '/a b/c.conf', '--test']],
    ['puppet agent --config "/a b/"c.conf --test >log 2>&1', ['--config', '/a b/c.conf', '--test']],
    ['puppet agent --test\nputs puppet', ['--test']],
    ['if true\nthen puppet agent --test\nfi', ['--test']],
    ['puppet agent --noop \\\n  --config /a/b.conf', ['--noop', '--config', '/a/b.conf']],
    // What a variable holds cannot be told, nor what the option before it is then.
    ['puppet agent --noop --config "$CONF" --test', ['--noop']],
    ['puppet agent --noop --config=$CONF', ['--noop']],
    ['puppet agent --environment prod --config `where`', ['--environment', 'prod']],
  ])('%j', (text, args) => {
    expect(findInText(['sh', '-c', text])).toMatchObject({ program: 'puppet', subcommand: 'agent', args });
  });

  test('is puppet with a subcommand, wherever it lies', () => {
    expect(findInText(['sh', '-c', 'exec /opt/puppetlabs/bin/puppet ssl verify; true'])).toMatchObject({
      program: '/opt/puppetlabs/bin/puppet',
      subcommand: 'ssl',
      args: ['verify'],
    });
    for (const text of ['echo puppet', 'puppet --version', 'my-puppet agent --test', 'ls puppet/agent x'])
      expect(findInText(['sh', '-c', text])).toBeNull();
  });
});
