#!/usr/bin/perl
# Makes a golden file's bytes from its description:   make.pl DESCRIPTION >FILE
# One item a line; # begins a comment. Numbers are little-endian and may be names set before.
#   u8 u16 u32 u64 N      varint N         text "..." (\xHH, \n, \r, \\)      hex BYTES      fill BYTE COUNT
#   align N               zeros up to the next multiple of N bytes     pad SIZE   zeros up to SIZE bytes
#   random SEED COUNT     bytes of x = x * 6364136223846793005 + 1442695040888963407 mod 2^64, each x >> 56
#   crc32c FROM [NAME]    u32: the checksum of all bytes of the part from offset FROM on; NAME is set to it
#   part NAME ... end     bytes kept for later; NAME.size and NAME.crc are set
#   bytes NAME [FROM [COUNT]]     those bytes, or a stretch of them
# A^B is the exclusive or of two numbers.
use strict;
use warnings;
use integer;
no warnings 'portable';

my (%names, %parts, @stack);
my $out = '';
my @table;
for my $n (0 .. 255) {
	my $c = $n;
	$c = $c & 1 ? (($c >> 1) & 0x7fffffff) ^ 0x82f63b78 : ($c >> 1) & 0x7fffffff for 1 .. 8;
	push @table, $c;
}

sub crc32c {
	my $crc = 0xffffffff;
	$crc = $table[($crc ^ $_) & 255] ^ ($crc >> 8) for unpack 'C*', $_[0];
	return $crc ^ 0xffffffff;
}

sub number {
	my ($text) = @_;
	return number($1) ^ number($2) if $text =~ /^(.+)\^(.+)$/;
	return $names{$text} if exists $names{$text};
	return $text =~ /^0x/ ? hex $text : $text + 0 if $text =~ /^(0x[0-9a-fA-F]+|-?[0-9]+)$/;
	die "line $.: what is $text?\n";
}

binmode STDOUT;
while (<>) {
	my ($what, $rest) = /^\s*([a-z0-9]+)\s*(.*?)\s*$/ or next;
	if ($what eq 'text') {
		my ($text) = $rest =~ /^"(.*?)"/ or die "line $.: no text\n";
		$text =~ s/\\(x[0-9a-f]{2}|n|r|\\)/$1 eq 'n' ? "\n" : $1 eq 'r' ? "\r" : $1 eq '\\' ? '\\' : chr hex substr $1, 1/ge;
		$out .= $text;
		next;
	}
	$rest =~ s/\s*#.*//;
	my @args = split ' ', $rest;
	if ($what eq 'u8') { $out .= pack 'C', number($args[0]) & 255 }
	elsif ($what eq 'u16') { $out .= pack 'v', number($args[0]) & 65535 }
	elsif ($what eq 'u32') { $out .= pack 'V', number($args[0]) & 0xffffffff }
	elsif ($what eq 'u64') { $out .= pack 'q<', number($args[0]) }
	elsif ($what eq 'hex') { $out .= pack 'H*', join '', @args }
	elsif ($what eq 'fill') { $out .= chr(number($args[0])) x number($args[1]) }
	elsif ($what eq 'align') { $out .= "\0" x ((number($args[0]) - length($out) % number($args[0])) % number($args[0])) }
	elsif ($what eq 'pad') {
		my $more = number($args[0]) - length $out;
		die "line $.: $more bytes too many\n" if $more < 0;
		$out .= "\0" x $more;
	} elsif ($what eq 'varint') {
		my $n = number($args[0]);
		while ($n > 127) { $out .= chr(128 | $n & 127); $n >>= 7 }
		$out .= chr $n;
	} elsif ($what eq 'random') {
		my $x = number($args[0]);
		for (1 .. number($args[1])) {
			$x = $x * 6364136223846793005 + 1442695040888963407;
			$out .= chr(($x >> 56) & 255);
		}
	} elsif ($what eq 'crc32c') {
		my $crc = crc32c(substr $out, number($args[0]));
		$names{$args[1]} = $crc if @args > 1;
		$out .= pack 'V', $crc;
	} elsif ($what eq 'part') {
		push @stack, [$args[0], $out];
		$out = '';
	} elsif ($what eq 'end') {
		my ($name, $before) = @{pop @stack or die "line $.: end of what?\n"};
		$parts{$name} = $out;
		$names{"$name.size"} = length $out;
		$names{"$name.crc"} = crc32c($out);
		$out = $before;
	} elsif ($what eq 'bytes') {
		my $part = $parts{$args[0]} // die "line $.: no part $args[0]\n";
		$out .= substr $part, @args > 1 ? number($args[1]) : 0, @args > 2 ? number($args[2]) : length $part;
	}
	else { die "line $.: what is $what?\n" }
}
die "a part has no end\n" if @stack;
print $out;
