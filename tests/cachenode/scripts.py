"""Conversations held with a real memcached and with the bundled node.

Each line ends in CR LF; ``<3 x>`` stands for ``xxx``, ``<cas>`` for the CAS unique shown last. What follows
``--`` is sent when all before it is answered: whether memcached pads a number that gets shorter, or stores it
anew, hangs on whether anything else has the item in hand.
"""

from __future__ import annotations

import re

_REPEAT = re.compile(rb"<(\d+) (.+?)>")

_TEXTS = {
    "storing": """\
set a 5 0 1
x
add a 0 0 1
y
add b 0 0 1
y
replace a 1 0 2
zz
replace c 0 0 1
x
append a 9 9 1
>
prepend a 9 9 1
<
append c 0 0 1
x
get a b c""",
    "cas": """\
set a 0 0 1
x
gets a""",
    "cas with it": """\
cas a 0 0 1 <cas>
y
cas a 0 0 1 <cas>
z
cas none 0 0 1 1
z
get a""",
    "retrieving": """\
get
gets
gat
gat 10
gat x a
gat 10 a none
gats 10 a
  get   a  none """,
    "long keys": """\
set <251 k> 0 0 1
x
mg <251 k>
me <251 k>
delete <251 k>""",
    "bad data": """\
set k 0 0 3
abcdef
set k 0 0 3
abcde
ms k 2
abc
ms k 2 q
abc
get k""",
    "lengths": """\
set a 0 0 -1
set a 0 0 x
set a 0 0
set a 0 0 1 2 3
ms a
ms a x
ms a -1
ms""",
    "odd numbers": """\
set a +1 +5 +01
x
get a
set a -0 -0 1
x
set a -1 0 1
set a 0\t 0 1
x""",
    "no command": """\


x
xx
GET a
mz""",
    "a NUL ends the line": """\
set a\0b 0 0 1
x
get a\0b c d
get a""",
    "deleting": """\
delete
delete k 0
delete k 1
delete k 0 noreply
delete k 0 x
delete k a b c""",
    "counting": """\
set n 0 0 2
10
decr n 1
get n
--
incr n 1
incr n 18446744073709551610
incr n 20
get n
--
decr n 100
incr n 18446744073709551616
incr n x
incr n -1
incr n
incr none 1""",
    "what counts as a number": """\
set n 0 0 3
 12
incr n 1
get n
--
set n 0 0 3
+12
incr n 1
get n
--
set n 0 0 0

incr n 1
get n
--
set n 0 0 3
1 2
incr n 1
get n
--
set n 0 0 2
1x
incr n 1
get n
--
set n 0 0 2
-1
incr n 1
get n
--
set n 0 0 3
1_0
incr n 1
get n
--
set n 0 0 21
999999999999999999999
incr n 1
get n
--
set n 0 0 23
00018446744073709551615
incr n 1
get n""",
    "touching": """\
touch
touch k
touch k x
touch k 10 noreply
set k 0 0 1
x
touch k 90
mg k t""",
    "flushing": """\
set z 0 0 1
x
flush_all
get z
set z 0 0 1
y
get z
flush_all x
flush_all 0
flush_all noreply
flush_all 0 noreply
flush_all 1 2 3 4
flush_all -1""",
    "settings": """\
verbosity
verbosity 0
verbosity x
verbosity 1 2 3
verbosity 0 noreply
cache_memlimit 4
cache_memlimit 64
cache_memlimit x
cache_memlimit
cache_memlimit 64 noreply""",
    "administration": """\
stats reset
stats sizes
stats nonsense
shutdown
lru_crawler
lru_crawler x""",
    "noreply": """\
set no 0 0 1 noreply
x
add no 0 0 1 noreply
x
set no 0 0 1 noreply
xx
set no a 0 1 noreply
incr no 1 noreply
get no""",
    "expiry": """\
set e 0 2592000 1
x
mg e t
set e 0 2592001 1
x
get e
set e 0 -1 1
x
get e
ms e 1 T-1
x
mg e
ms e 1
x
mg e T-1 v
mg e v""",
    "mg": """\
ms k 2 T90 F7
ab
mg k
mg k v
mg k k t s f c v O1 h l
mg k v q Oz
mg none k Oz v
mg none q""",
    "mg mistakes": """\
mg
mg k v v
mg k !
mg k Tx
mg k T
mg k \x80
mg k O<32 o>
mg k a b c d e f g h i j k l m n o p q r s t u v w
mg k O<31 o>""",
    "ms modes": """\
ms k 2 ME k O1
ab
ms k 2 ME
ab
ms k 1 MA
c
ms k 1 MP
_
ms k 2 MR
xy
mg k v
ms n 2 MA
ab
ms n 2 MR
ab
ms n 2 MS c
ab
ms n 1 C<cas>
x
ms none 2 C5
ab""",
    "ms mistakes": """\
ms k 2 !
ab
ms k 2 Mx
ab
ms k 2 MEE
ab
ms k 2 Fx
ab
ms k 2 S S
ab
ms k 2 O<40 o>
ab
ms k 2 C0
ab""",
    "md": """\
ms k 1
x
md k C99999999 k O2
md k k O3
md k q k Oa
md
md k !
md k Tx
md k O<40 o>""",
    "stale": """\
ms s 2 T90
ab
md s I T30
mg s v t
mg s v t
get s
ms s 2 T90
cd
mg s v""",
    "lease": """\
mg l N30 v t
mg l N30 v t
mg l t N30
get l
ms l 1
x
mg l v t
mg m t N30 k O1""",
    "recache": """\
ms r 1 T20
x
mg r R30 t
mg r R30 t
mg r R10 t
ms r 1 T20
x
mg r R10 t
mg r T50 R30 t
mg r R-1
ms r 1
x
mg r R30""",
    "ma": """\
ma c
ma c N0 v
ma c v
ma c MD D5 v
ma c MI D5 v t k O1
ma c M+
ma c M- v
ma c Mz
ma c q
ma none q
ma none k O1
ma c Dx
ma c Jx
ma c C1
ma d N90 J13 v t
ma d T50 v t
ma d t T50 v
ma e N90 J13 q
ma f N0 J5 v q k Oz
set w 0 0 1
x
ma w
ma w C0""",
    "base64 keys": """\
ms Zm9v 3 b
bar
get foo
mg Zm9v b k v
mg foo k v
me Zm9v b
me foo
md Zm9v b k
mg !!!! b v
ms !!! 1 b
x
mg Zm9 b k
mg Zm8= b k
ms Zm9vYmF6 2 b k O1
ab""",
    "me": """\
ms k 100 T90 F1
<100 x>
me k
mg k
me k
me
me none
me k x""",
    "too large": """\
set b 0 0 1
x
set b 0 0 1048577
<1048577 x>
get b""",
    "too large to add": """\
set b 0 0 1
x
add b 0 0 1048577
<1048577 x>
get b""",
    "too large for ms": """\
set b 0 0 1
x
ms b 1048577
<1048577 x>
get b""",
    "just fits": """\
set bigg 0 0 1048513
<1048513 x>
me bigg""",
    "just does not": """\
set bigg 0 0 1048514
<1048514 x>
set bigg 1 0 1048513
<1048513 x>""",
    "grows too large": """\
set g 0 0 999999
<999999 x>
append g 0 0 99999
<99999 x>""",
    "many keys": """\
get <9000 a >""",
}


def _turns(text: str) -> list[bytes]:
    turns = [turn.replace("\n", "\r\n").encode("latin-1") + b"\r\n" for turn in text.split("\n--\n")]
    return [_REPEAT.sub(lambda found: found[2] * int(found[1]), turn) for turn in turns]


SCRIPTS = {name: _turns(text) for name, text in _TEXTS.items()}
WITH_CAS = [name for name, text in _TEXTS.items() if "<cas>" in text]
