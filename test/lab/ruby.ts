import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Bytecode of Ruby's and Puppet's own files, by path and time of change; made by the first run that needs it. */
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/stringtap-lab-ruby', import.meta.url));

/** Ruby compiles a thousand files in each agent run, which is nothing that the lab looks at; `load_iseq` is its hook for compiled ones. */
const QUICK = `require 'fileutils'
class << RubyVM::InstructionSequence
  def load_iseq(path)
    return nil unless path.start_with?('/usr/')
    kept = File.join(${JSON.stringify(CACHE)}, "#{path}.#{File.mtime(path).to_i}.#{RUBY_VERSION}")
    return load_from_binary(File.binread(kept)) if File.exist?(kept)
    FileUtils.mkdir_p(File.dirname(kept))
    compiled = compile_file(path)
    File.binwrite("#{kept}.#{Process.pid}", compiled.to_binary)
    File.rename("#{kept}.#{Process.pid}", kept)
    compiled
  rescue SystemCallError, RuntimeError, SyntaxError
    nil
  end
end
`;

/** Puppet asks for TLS 1.0 as the least and names no most; OpenSSL's configuration file is overruled by that. */
const TLS12 = `require 'openssl'
OpenSSL::SSL::SSLContext.prepend(Module.new { def set_minmax_proto_version(min, _max) = super(min, OpenSSL::SSL::TLS1_2_VERSION) })
`;

/** Writes what {@link rubyEnv} names into an agent's folder. */
export function writeRuby(dir: string): void {
  writeFileSync(join(dir, 'quick.rb'), QUICK);
  writeFileSync(join(dir, 'tls12.rb'), TLS12);
}

/**
 * Environment for the Ruby of the agent in `dir`: quick to load and seldom at collecting garbage, unless it is `plain`, and without TLS 1.3 when that
 * is asked.
 */
export function rubyEnv(dir: string, { tls12, plain }: { tls12: boolean; plain: boolean }): Readonly<Record<string, string>> {
  const files = [...(plain ? [] : ['quick']), ...(tls12 ? ['tls12'] : [])];
  const opt = files.length > 0 ? { RUBYOPT: files.map(name => `-r${join(dir, `${name}.rb`)}`).join(' ') } : {};
  if (plain) return opt;
  return {
    ...opt,
    RUBY_GC_HEAP_INIT_SLOTS: '800000',
    RUBY_GC_MALLOC_LIMIT: String(256 << 20),
    RUBY_GC_MALLOC_LIMIT_MAX: String(512 << 20),
    RUBY_GC_OLDMALLOC_LIMIT: String(512 << 20),
    RUBY_GC_OLDMALLOC_LIMIT_MAX: String(1 << 30),
  };
}
