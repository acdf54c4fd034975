#!/bin/bash
# The leaderboard of results/ordinary/timm: bash ordinary_timm.sh [folder]. On a GPU; resumable.
out=${1:-untrained-runs}
scores="independent_channels jacob_cov gradsign condition_number nngp_leave_one_out nngp_likelihood synflow zico
        naswot swap linear_regions meco_opt az_expressivity l2_norm grad_norm snip"
train="--training.optimizer adamw --training.learning-rate 0.002 --training.weight-decay 0.05 --training.epochs 6"
untrained bench --space ordinary_timm:convolutional --images cifar10 --training.images 4000 $train --train 24 \
    --draws 1 --workers 6 --device cuda --out $out --scores $scores
