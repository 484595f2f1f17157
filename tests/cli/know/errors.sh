sedge synth -o shop --users 40 --items 8 -q >/dev/null || exit 1
printf 'template about 1\n[user]\nwhat is {titel}?\n' >titel.txt
printf 'template about 1\n[user]\nwhat is {title}?\n' >about.txt
sedge know shop -q
echo $?
sedge know shop --prompt about.txt --cache know.db -q
echo $?
sedge know shop --prompt titel.txt --llm http://127.0.0.1:9/v1 --cache know.db -q
echo $?
sedge know shop --prompt about.txt --llm tests/absent --cache know.db -q
echo $?
cp -r "$SOURCE/tests/parity/bert" bert
sedge know shop --prompt about.txt --llm bert --cache know.db -q
echo $?
echo secret >key && chmod 644 key
sedge know shop --prompt about.txt --llm http://127.0.0.1:9/v1 --key-file key --cache know.db -q
echo $?
sedge know shop --prompt about.txt --llm http://me:secret@127.0.0.1:9/v1 --cache know.db -q
echo $?
sedge know shop --prompt about.txt --llm http://127.0.0.1:9/v1 --calls-mots 3 --cache know.db -q
echo $?
