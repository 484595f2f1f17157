# a folder of somebody else's is refused before anything is trained, and stays as it is
sedge synth -q -o shop --users 100 --items 50 >/dev/null || exit 1
mkdir mine
echo precious >mine/notes.txt
sedge train sasrec shop -q -o mine --set epochs=1000000 patience=0
echo "exit $?"
sedge train pop shop -q -o shop
echo "exit $?"
sedge train pop shop -q -o mine/notes.txt
echo "exit $?"
find . -path ./shop -prune -o -type f -print
