#!/bin/bash
# The leaderboards of results/ordinary: bash ordinary.sh [folder]. Resumable.
out=${1:-untrained-runs}
# Tiny-ImageNet's pictures of ten kinds of things, eight classes each
[ -d $out/pictures ] || python ranked_models.py pictures $out/pictures
scores="independent_channels jacob_cov gradsign condition_number nngp_leave_one_out nngp_likelihood synflow zico
        zen naswot swap linear_regions meco_opt az_expressivity l2_norm grad_norm snip"
train="--training.optimizer adamw --training.learning-rate 0.002 --training.weight-decay 0.05"
for images in "digits --training.epochs 4" \
              "cifar10 --size 16 --training.images 3000 --training.epochs 6" \
              "cifar100 --size 16 --training.images 6000 --training.epochs 6" \
              "$out/pictures --size 16 --training.epochs 6"; do
    for space in resnet mlp vit mobile; do
        untrained bench --space ordinary:$space --images $images $train --train 24 --draws 2 --out $out \
            --scores $scores > $out/$space-$(basename ${images%% *}).txt 2>&1
    done
done
