# nobody listens there: what an endpoint cannot do is said before it is asked
url=http://127.0.0.1:9/v1
echo a >list
sedge lm generate $url --prompt a -q
sedge lm generate $url --chat --prompt a -q --choices list
sedge lm generate $url --chat --prompt a -q --schema list
sedge lm generate $url --chat --prompt a -q --fm list
sedge lm generate $url --chat --prompt a -q --beam 2 --model m
sedge lm generate $url --chat --prompt a -q --adapter list
sedge lm generate $url --chat --prompt a -q --offers embed
sedge lm score $url --text a -q
sedge lm score $url --prompt a --chat --text a -q --offers chat,score
sedge lm score $url --text a -q --offers train
sedge lm generate $url --chat --prompt a -q --ca nowhere.pem
sedge lm generate http://me:secret@127.0.0.1:9/v1 --chat --prompt a -q
sedge lm score "$SOURCE/tests/parity/bert" --text a -q 2>err || sed "s|$SOURCE|.|" err
