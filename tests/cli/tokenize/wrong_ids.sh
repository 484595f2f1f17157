# published IDs: codes below 0 and codes of another place are not taken for others, and the message says where they stand
sedge synth -q -o shop --users 30 --items 20 --seed 3 --json >/dev/null
ids() { # the two codes of item i3
    awk -v third="$1" 'BEGIN {
        print "{"
        for (i = 1; i <= 20; i++)
            printf "  \"i%d\": [%s]%s\n", i, i == 3 ? third : "\"<a_" i ">\",\"<b_1>\"", i < 20 ? "," : ""
        print "}"
    }' >ids.json
    sedge tokenize shop -q --ids ids.json --json >out
    echo "$1: exit $? $(json items <out 2>/dev/null)"
}
ids '"<a_3>", "<b_0>"'
ids '"a3", 7'
ids '"<x3>", "7"'
ids '"<a_-1>", "<b_1>"'
ids '"a-1", "<b_1>"'
ids '-1, "<b_1>"'
ids '"<a_3>", "<a_1>"'
ids '"b3", "<b_1>"'
ids '"<a_3>"'
