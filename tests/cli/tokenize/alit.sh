# IDs of several lengths through the whole way: reported, inspected, learned, searched exactly, explained to their last code
awk 'BEGIN { print "user,item"
    for (u = 0; u < 60; u++) for (e = 0; e < 6; e++) printf "u%d,i%d\n", u, (u * 3 + e * (1 + u % 3)) % 40 }' >log.csv
awk 'BEGIN { print "item_id\ttitle"
    for (i = 0; i < 40; i++) printf "i%d\tkind%d shelf%d piece%d%s\n", i, i % 5, i % 7, i, i % 4 ? "" : " odd" i " rare" i * 7 }' >items.tsv
sedge import log.csv --item-text items.tsv -o shop -q --json >/dev/null || exit
sedge embed shop -q --dim 8 --json >/dev/null
sedge tokenize shop -q --method alit --codes 6 --set cap=4 tau=0.3 --json >report.json
sedge inspect ids shop --depth 2 >ids.txt
grep -c 'codes an item:' ids.txt
sedge inspect ids shop --depth 4 --json >ids.json
cmp "$(json lengths/mean <ids.json >a; echo a)" "$(json lengths/mean <report.json >b; echo b)" && echo same
grep -c '"prefix": *\[[^]]*6[^]]*\]' ids.json
sedge train tiger shop -o run -q --json --set dim=16 layers=1 heads=2 head_dim=8 ffn=32 epochs=4 batch=16 beam=40 >/dev/null
for how in "--beam 40" --exact; do
    # shellcheck disable=SC2086
    sedge eval run shop -q --json --no-floors --set bootstrap=0 -k 5,20 $how >eval.json
    json metrics/unfiltered/recall@5 <eval.json
    json metrics/unfiltered/ndcg@20 <eval.json
done | sort | uniq -c | awk '{ print $1 }'
sedge recommend run --user u1 --explain -k 1 --json >explained.json # an item's score is the product of its codes and its end
for l in 0 1 2 3; do json items/0/path/$l/probability <explained.json 2>/dev/null; done |
    awk -v score="$(json items/0/score <explained.json)" '{ sum += log($1) } END { d = sum - score; print (d * d < 1e-8) ? "explained" : sum " " score }'
grep -o '"end": true' explained.json
sedge recommend run --user u1 --explain -k 1 | grep -o '<[0-9]:end>' # the end is no code: none but these are below the number of codes
sedge recommend run --user u1 --explain -k 9 | grep -c '<[0-9]:6>'
sedge report run -q -o page.html >/dev/null && grep -o '<code>[0-9]:end<' page.html | sort -u | wc -l
grep -c '<code>[0-9]:6<' page.html
sedge tokenize shop -q --method alit --codes 65536
echo $?
