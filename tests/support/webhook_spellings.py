"""Spellings of webhook URLs, of addresses above all, and why each is refused."""

# ruff: noqa: RUF001 - ambiguous characters are what is tried
# fmt: off

CANONICAL = "four decimal numbers without leading zeros"
IDNA = "IDNA 2008 does not allow"
LABELS = "labels with 1 to 63 letters"
EMPTY_LABEL = "an empty label"
FINAL_DOT = "ends in a dot"
BRACKETS = "IPv6 address, and nothing else, in the brackets"
ONE_HOST = "must have one host"
UNPRINTABLE = "spaces, line breaks or control characters"
BEGINNING = "must begin with https://"
PORT = "a port from 1 to 65535"
MIXED = "with an IPv4 address in it"
ZONE = "an IPv6 address with a zone"
NOT_PUBLIC = "must not name an address of"

REFUSED_HOSTS: dict[str, tuple[str, ...]] = {
    NOT_PUBLIC: (
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.0.0.2",
        "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1",
        "172.31.255.254", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1",
        "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
        "255.255.255.255", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]",
        "[::0001]", "[0::1]", "[::ffff:7f00:1]", "[::FFFF:7F00:1]", "[0:0:0:0:0:ffff:7f00:1]", "[::7f00:1]",
        "[::ffff:0:7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]", "[100::1]",
        "[2001::1]", "[2001:0:7f00:1::]", "[2001:2::1]", "[2001:10::1]", "[2001:20::1]", "[2001:db8::1]",
        "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[3ffe::1]", "[3fff::1]", "[4000::1]", "[5f00::1]", "[fc00::1]",
        "[fd00::1]", "[fd00:ec2::254]", "[FD00:EC2::254]", "[fd20:ce::254]", "[fe80::1]", "[FE80::1]", "[febf::1]",
        "[fec0::1]", "[ff02::1]", "[ff05::1:3]",
    ),
    CANONICAL: (
        "0", "1", "127", "127.1", "127.0.1", "127.0.0", "2130706433", "4294967295", "4294967296",
        "99999999999999999999",
        "0177.0.0.1", "0177.0000.0000.0001", "00177.0.0.1", "017700000001", "127.0.0.01", "127.00.0.1", "127.0.0.08",
        "0x7f.0.0.1", "0x7f000001", "0X7F000001", "0x7f.1", "0x7f.0x0.0x0.0x1", "0x", "127.0.0.0x1", "127.0.0.0x",
        "0x7F.0.0.1", "10.0x1", "010.0.0.1", "10.1", "0xa.0.0.1", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376",
        "169.254.43518", "169.16689662", "0xA9.0xFE.0xA9.0xFE", "0251.254.0xa9.254", "192.168.257", "0300.0250.0.1",
        "3232235521", "256.0.0.1", "127.0.0.256", "127.0.0.1.1", "1.2.3.4.5", "1.2.3", "a.127",
        "localhost.0", "example.0x7f", "example.1", "0.0.0.0.0", "00.00.00.00", "0x0.0x0.0x0.0x0", "0.0",
        "0b1111111.0.0.1", "127.0.0.0b1", "0b1111111000000000000000000000001", "0B1", "0b", "१२७.०.०.१", "127.0.0.१",
        "၁၂၇.၀.၀.၁",
    ),
    IDNA: (
        "１２７.0.0.1", "127.0.0.１", "１２７．０．０．１", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "①②⑦.0.0.1",
        "127.⓪.0.1",
        "𝟏𝟐𝟕.𝟎.𝟎.𝟏", "𝟷𝟸𝟽.0.0.1", "¹²⁷.0.0.1", "₁₂₇.0.0.1", "⒈⒉⒊.com", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "ⅼocalhost",
        "loca\u200blhost", "loca\u00adlhost", "local\u2060host", "\ufefflocalhost", "ℓocalhost",
        "例。example", "example。com", "example．com", "example｡com", "ﬁle.example", "exampl\u0435\u200d.com", "☃.net",
        "a\u2024b.example", "a\u2025b.example", "a\u3002b.example", "xn--", "xn--a", "xn---bbk.example",
        "xn--example-.com", "xn--0.example", "xn--\u0430.example", "xn--1-jka.example", "\u0661.\u0967a.example",
        "BÜCHER.example", "ex\u200eample.com", "e\u0301xample.com", "\u212aelvin.example", "a\u2215b.example",
        "a\u2044b.example", "a\uff0fb.example", "a\uff20b.example", "a\uff1ab.example", "a\uff03b.example",
    ),
    LABELS: (
        "exa!mple.com", "-example.com", "example-.com", "*.example.com", "$x.example", "a,b.example",
        "a;b.example", "a'b.example", '"a".example', "a|b.example", "{a}.example", "a^b.example", "a`b.example",
        "<a>.example", "a=b.example", "a+b.example", "~a.example", "a&b.example", "(a).example", f"{'a' * 64}.example",
        "127.0.0.1,8.8.8.8", "127.0.0.1!",
    ),
    EMPTY_LABEL: (".127.0.0.1", "..127.0.0.1", "127..0.1", "127...1", ".example.com", "a..b", ".localhost"),
    FINAL_DOT: ("127.0.0.1.", "localhost.", "example.com.", "127.1.", "0x7f.1.", "a..", ".", "2130706433."),
    "percent-encoded host": (
        "%31%32%37.0.0.1", "127%2e0%2e0%2e1", "127.0.0.1%00", "localhost%00.example.com", "%6cocalhost", "a%20b", "%",
        "example.com%0d%0a", "127.0.0.1%23", "127.0.0.1%2f", "example.com%40127.0.0.1",
    ),
    MIXED: (
        "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::FFFF:127.0.0.1]", "[::ffff:8.8.8.8]", "[64:ff9b::127.0.0.1]",
        "[::ffff:0:127.0.0.1]", "[0:0:0:0:0:ffff:169.254.169.254]", "[2002::127.0.0.1]", "[::ffff:0x7f.1]",
        "[127.0.0.1]", "[::ffff:127.1]", "[fe80::5efe:10.0.0.1]", "[::ffff:127.0.0.01]", "[localhost.]",
    ),
    ZONE: (
        "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%25lo]", "[::1%251]", "[::1%25]", "[::ffff:127.0.0.1%251]",
        "[2606:4700::1111%25eth0]",
    ),
    BRACKETS: (
        "[]", "[:]", "[:::1]", "[::1::]", "[1]", "[::g]", "[::12345]", "[0:0:0:0:0:0:0:0:1]", "[1:2:3:4:5:6:7]",
        "[::١]", "[::１]", "[v1:fe80]", "[localhost]", "[0x7f000001]", "[::1!128]",
    ),
    ONE_HOST: (
        "[::1", "::1]", "::1", "[[::1]]", "[::1]]", "[::1]x", "x[::1]", "[::1].example.com", "fe80::1", "a:b:c",
        "[::1][::1]", "]", "[", "]::1[", "%5b::1%5d", "example.com:443:443", "::ffff:127.0.0.1",
    ),
    "must not hold a user or a password": (
        "user@example.com", "user:password@example.com", "@example.com", ":@example.com", "example.com@127.0.0.1",
        "127.0.0.1@example.com", "a@b@c", "example.com:443@127.0.0.1", "[::1]@example.com", "%40@example.com",
    ),
    PORT: (
        "example.com:", "example.com:0", "example.com:00", "example.com:0443", "example.com:65536", "example.com:99999",
        "example.com:443a", "example.com:-1", "example.com:+443", "example.com:４４３", "example.com:0x1bb",
        "example.com:4_4_3", "[2606:4700::1111]:", "[2606:4700::1111]:x", "8.8.8.8:١",
        "example.com:1e3", "example.com:443.", "example.com:000443",
    ),
    "must name a host": ("", ":443"),
}
"""A part of the reason -> hosts with their ports, as they stand between https:// and the path."""

REFUSED_URLS: dict[str, tuple[str, ...]] = {
    BEGINNING: (
        "", "example.com", "//example.com", "/hook", "https:example.com", "https:/example.com", "https//example.com",
        "HTTPS://example.com", "hTTps://example.com", "ftp://example.com", "file:///etc/passwd", "gopher://127.0.0.1",
        "javascript:alert(1)", "data:text/plain,x", "dict://127.0.0.1:11211", "ldap://127.0.0.1", "ws://example.com",
        "https+unix://x", "jar:https://example.com!/", "url:https://example.com", "://example.com", "http:example.com",
    ),
    "plain http is only for": ("http://example.com", "http://8.8.8.8/", "http://127.0.0.1", "http://example.com:443/"),
    UNPRINTABLE: (
        " https://example.com", "https://example.com ", "https://exam ple.com", "https://example.com/a b", "\thttps://a.b",
        "https://example.com\n", "https://example.com\r\nHost: x", "https://exa\tmple.com", "https://example.com/\x00",
        "https://127.0.0.1\x00.example.com", "https://example.com\x0b", "https://example.com\x1f", "https://\x7fa.b",
        "https://ex\nample.com", "ht\ntps://example.com", "https:\n//example.com", "https://example.com/?a\r\nb: c",
    ),
    "backslash": (
        "https:\\\\example.com", "https://example.com\\@127.0.0.1", "https://127.0.0.1\\@example.com", "https:/\\a.b",
        "https://example.com\\.evil.test", "https://example.com/\\..", "\\\\example.com", "https://a.b:443\\@127.0.0.1/",
    ),
    "must not name port": (
        "https://example.com:80", "https://example.com:22", "https://example.com:8443", "https://example.com:6379",
        "https://8.8.8.8:25", "https://[2606:4700::1111]:5432", "https://example.com:65535",
    ),
    "fragment": (
        "https://example.com#", "https://example.com/#a", "https://example.com#@127.0.0.1", "https://example.com/?a#b",
    ),
    "in ASCII": ("https://example.com/ü", "https://example.com/?q=ü", "https://example.com/\u2028", "https://a.b/。"),
    "longer than": (f"https://example.com/{'a' * 2048}",),
    "a host of more than": (f"https://{'.'.join(['a' * 50] * 6)}/",),
    "must name a host": ("https://", "https:///", "https:///example.com", "https:////127.0.0.1", "https://?x", "https://#"),
}
"""A part of the reason -> whole URLs."""

ACCEPTED: dict[str, str] = {
    "https://example.com": "https://example.com:443/",
    "https://example.com/": "https://example.com:443/",
    "https://example.com?a=b": "https://example.com:443/?a=b",
    "https://example.com:443/hook": "https://example.com:443/hook",
    "https://EXAMPLE.com/Hook": "https://example.com:443/Hook",
    "https://bücher.example/": "https://xn--bcher-kva.example:443/",
    "https://xn--bcher-kva.example/": "https://xn--bcher-kva.example:443/",
    "https://XN--BCHER-KVA.example/": "https://xn--bcher-kva.example:443/",
    "https://my_app.example/": "https://my_app.example:443/",
    "https://r3---sn-abc.example/": "https://r3---sn-abc.example:443/",
    "https://8.8.8.8/hook": "https://8.8.8.8:443/hook",
    "https://[2606:4700::1111]/": "https://[2606:4700::1111]:443/",
    "https://[2606:4700:0:0:0:0:0:1111]/": "https://[2606:4700::1111]:443/",
    "https://127.0.0.1.example/": "https://127.0.0.1.example:443/",
    "https://0x7f.example/": "https://0x7f.example:443/",
    "https://localhost/": "https://localhost:443/",
    "https://example.com/a%20b?c=%40d@e:f": "https://example.com:443/a%20b?c=%40d@e:f",
    "https://example.com//@127.0.0.1": "https://example.com:443//@127.0.0.1",
    "https://3com.example/": "https://3com.example:443/",
}
"""URL -> origin and path. A name is judged when it is dialed, so `localhost` is accepted here."""
