/*
 * Words that are no site's: of Puppet's protocol, its own types and messages, of HTTP and X.509. They stay when a capture is shared, for rules,
 * comparison and people know them. Values of facts, secrets and names of hosts are replaced even where they are such words.
 */

const PROTOCOL = `agent agents primary puppet puppetserver puppetlabs puppetdb stringtap server servers client ca crl csr master localhost v1 v2 v3 v4
  certificate certificates request requests revocation list renewal node nodes catalog catalogs file files metadata metadatas content static bucket report reports
  facts fact values environment environments production configured transaction uuid job id code check checksum checksums type types format name names
  plugins pluginfacts locales modules module manifests manifest site pp lib templates data hieradata hiera init recurse remote true false follow manage use ignore
  links link source permissions max depth svn git hg cvs sha1 sha224 sha256 sha384 sha512 sha256lite md5 md5lite sha1lite mtime ctime none
  json pson yaml msgpack rich application text plain octet stream vnd html charset utf gzip deflate br zstd identity x url encoded www form pem
  http https tcp ip dns uri email ptype pvalue sensitive binary timestamp timespan deferred default symbol hash array string integer float boolean undef nil regexp semver ffff cn ou dc dn
  rb epp erb txt sh py conf cfg html css js xml svg png etc var opt usr bin sbin tmp srv dev proc log cache spool local share`;

const CATALOG = `main stage class classes resource resources edge edges tags tag title parameters parameter exported virtual kind line version settings
  notify exec package service user group cron mount host ssh authorized key keys filebucket schedule tidy whit component anchor directory
  augeas yumrepo mailalias interface router vlan zone zpool zfs selboolean selmodule nagios concat fragment ini setting stdlib
  ensure present absent latest installed running stopped enabled disabled enable held purged owner mode path target before require subscribe
  message command cwd creates onlyif unless refreshonly provider returns timeout tries try sleep logoutput umask withpath loglevel noop audit alias
  backup force purge recurselimit replace show diff validate cmd sourceselect hasrestart hasstatus status pattern restart start stop root
  uid gid home shell comment password passphrase passwd pass pwd pw secret token credential psk salt api auth access private encryption preshared shared license groups membership managehome system password_max_age expiry apt dpkg yum dnf rpm gem pip systemd upstart posix ruby`;

const REPORT = `unchanged changed failed success failure skipped audit corrective change changes changed count out of sync time at evaluation total restarted scheduled
  failed_to_restart pending intentional unapplied run runtime transaction_evaluation config retrieval startup convert catalog_application plugin_sync
  fact_generation settings_catalog last_run events event metric metrics logs log level debug info notice warning err error alert crit emerg
  on_failure explicitly_requested not_used cached cached_catalog store state compiler processors apply applied applying finished seconds second`;

const MESSAGES = `a an and the is was are be been has have had not no nor or in into on to from for by with at of as it its this that these if when while will would
  could cannot can may must should does do did only also because already so using used run runs failed fail fails find found missing
  evaluation while evaluating function call statement unknown variable operator expression syntax argument arguments expects value got undefined
  column requested signed revoked waiting exiting retrieve retrieving retrieved send sending compile compiled compiling loading
  exceeds soft limit number size length payload top against skipping dependency dependencies cycle triggered refresh refreshed executed successfully
  created removed modified defined current previous expected actual forbidden access denied allowed rule authorized unauthorized method
  internal invalid parse parsing argumenterror not_found runtime resource_missing handler resources_not_found issue details kind stacktrace
  duplicate declaration previously parent scope template render reading writing permission host hostname self verify verification connection refused
  reset closed peer timed exceeded service unavailable gateway bad conflict ok forbidden accepted busy retry later overloaded
  expired expires certificate's subject issuer serial signature authority root intermediate revocations entry entries`;

/** Lower-case words. */
export const VOCABULARY: ReadonlySet<string> = new Set(
  [PROTOCOL, CATALOG, REPORT, MESSAGES].flatMap(text => text.split(/[\s_]+/)).filter(word => word !== ''),
);

/** Top-level facts of Facter, and keys inside them: their names tell nothing of a site. */
export const FACT_NAMES: ReadonlySet<string> = new Set(
  `aio_agent_version architecture augeas augeasversion bios_vendor blockdevices bytes capacity cloud clientcert clientnoop clientversion cores cpuinfo dhcp dhcp_servers
  disks distro dmi available available_bytes address addresses binding bindings bindings6 board chassis codename count description device domain env env_windows_installdir
  environment facterversion family filesystem filesystems fips_enabled flags fqdn full gid group hardware hardwareisa hardwaremodel hostname hour hours hypervisors
  id identity implementation_version interfaces ip ip6 ipaddress ipaddress6 is_virtual isa kernel kernelmajversion kernelrelease kernelversion load_averages lsbdistid
  mac macaddress major memory memoryfree memorysize minor minutes models mountpoints mtu name netmask netmask6 network network6 networking noop options operatingsystem
  os osfamily partitions path physicalcount physicalprocessorcount platform priority privileged processorcount processors product productname pe_server_version
  puppetversion release ruby rubyplatform rubysitedir rubyversion scope6 selinux serialnumber serverip servername serverversion size size_bytes speed ssh sshfp_rsa
  swap system system_uptime seconds days timezone total total_bytes trusted authenticated certname extensions external uid uptime used used_bytes user uuid vendor
  version virtual lo eth0 1m 5m 15m clientip clientport _timestamp flushable primary sitedir rsa ecdsa dsa ed25519 fingerprints sha1 sha256 key type implementation`
    .split(/\s+/)
    .filter(name => name !== ''),
);
